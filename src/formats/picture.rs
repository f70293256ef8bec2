//! Pictures as the rest of the program sees them, read from whatever a camera or a browser saved.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader};

use super::atomic::write_atomic;
use super::error::{FormatError, read_bytes};
use super::npy::describe;

/// Larger pictures are refused: decoding one would take more memory than all the rest of the program.
pub const MAX_PIXELS: u64 = 100_000_000;
/// What a decoder may take at a time (16-bit RGBA of that many pixels, nearly).
const MAX_DECODER_BYTES: u64 = 768 << 20;
/// Endings by which pictures in a folder are recognised.
pub const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// An RGB picture, 8 bits a channel, row-major, (0, 0) at the top-left pixel's corner, upright
/// (an orientation tag is already applied). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Arc<Vec<u8>>,
    /// The file it was read from, if any.
    pub path: Option<PathBuf>,
}

impl Picture {
    /// # Panics
    /// Where `rgb` does not have `height * width * 3` bytes.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "bytes do not fill {width} x {height} pixels");
        Self { width, height, rgb: Arc::new(rgb), path: None }
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        Self::new(width, height, rgb.repeat(width * height))
    }

    /// Reads a picture file: any of [`ENDINGS`] by content, turned upright, 16 bits and CMYK reduced to 8-bit
    /// RGB, the first frame of an animation, transparency over white.
    ///
    /// # Errors
    /// `Missing` (no file), `Malformed` (damaged or no picture), `Unsafe` (more than [`MAX_PIXELS`]),
    /// `Value` (a variant that is not read).
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let mut picture =
            read_bytes(path).and_then(|bytes| Self::from_bytes(&bytes)).map_err(|error| error.at(path))?;
        picture.path = Some(path.to_owned());
        Ok(picture)
    }

    /// As [`Picture::read`], from the bytes of a file.
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.is_empty() {
            return Err(FormatError::malformed("no picture: the file is empty"));
        }
        let mut reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| FormatError::malformed(format!("no picture ({error})")))?;
        if reader.format().is_none() {
            return Err(unknown_format(bytes));
        }
        if reader.format() == Some(image::ImageFormat::Jpeg) && is_cut_jpeg(bytes) {
            return Err(FormatError::malformed(
                "a damaged picture (it ends in the middle): fetch or save it again",
            ));
        }
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(picture_error)?;
        let (width, height) = decoder.dimensions();
        check_size(width, height)?;
        let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(picture_error)?;
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let rgb = if image.color().has_alpha() {
            over_white(&image.into_rgba8().into_raw())
        } else {
            image.into_rgb8().into_raw()
        };
        Ok(Self::new(width, height, rgb))
    }

    /// Colour of a pixel inside the picture.
    ///
    /// # Panics
    /// Outside of it.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) of {} x {}", self.width, self.height);
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Bytes to draw into (copied first where the picture is shared).
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        Arc::make_mut(&mut self.rgb).as_mut_slice()
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// `Value` for a picture without pixels.
    pub fn png_bytes(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::with_capacity(self.rgb.len() / 4);
        PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&self.rgb, self.width as u32, self.height as u32, ExtendedColorType::Rgb8)
            .map_err(|error| FormatError::value(format!("cannot be packed as PNG ({error})")))?;
        Ok(out)
    }

    /// Writes a PNG file whole or not at all.
    ///
    /// # Errors
    /// `Io` where it cannot be written.
    pub fn write_png(&self, path: &Path) -> Result<(), FormatError> {
        write_atomic(path, &self.png_bytes().map_err(|error| error.at(path))?)
    }

    /// A smaller or larger copy (triangle filter, which averages where it shrinks).
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let view: image::ImageBuffer<image::Rgb<u8>, &[u8]> =
            image::ImageBuffer::from_raw(self.width as u32, self.height as u32, self.rgb.as_slice())
                .expect("the picture's bytes fill its size");
        let out = image::imageops::resize(
            &view,
            width as u32,
            height as u32,
            image::imageops::FilterType::Triangle,
        );
        Self { width, height, rgb: Arc::new(out.into_raw()), path: self.path.clone() }
    }
}

/// The files of a folder that are pictures by their names, sorted.
///
/// # Errors
/// Folders that cannot be listed.
pub fn pictures_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if has_picture_ending(&path) && path.is_file() {
            pictures.push(path);
        }
    }
    pictures.sort();
    Ok(pictures)
}

/// True where the ending says that a file is a picture.
pub fn has_picture_ending(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

fn check_size(width: u32, height: u32) -> Result<(), FormatError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(FormatError::malformed("a picture without pixels"));
    }
    if pixels > MAX_PIXELS {
        return Err(FormatError::unsafe_input(format!(
            "{width} x {height} pixels are more than the {} megapixels that are read: make the picture smaller",
            MAX_PIXELS / 1_000_000
        )));
    }
    Ok(())
}

/// Whether a JPEG has no end after its first scan; the decoder would fill the rest with grey and say nothing.
/// Thumbnails in front of the scan have ends of their own, so segments are stepped over, not searched.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            // Filling.
            at += 1;
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if marker == START_OF_SCAN {
            return !bytes.get(at..).is_some_and(|scan| scan.windows(2).any(|pair| pair == [0xff, 0xd9]));
        }
    }
    // Cut before the scan, or odd: the decoder says what is wrong.
    false
}

fn over_white(rgba: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgba.as_chunks::<4>();
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for &[r, g, b, a] in pixels {
        let alpha = u32::from(a);
        rgb.extend([r, g, b].map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8));
    }
    rgb
}

fn unknown_format(bytes: &[u8]) -> FormatError {
    if bytes.get(4..8) == Some(b"ftyp") {
        let kind = String::from_utf8_lossy(bytes.get(8..12).unwrap_or_default()).into_owned();
        return FormatError::value(format!(
            "pictures of the kind `{}` (HEIC, AVIF or a film) are not read: save it as JPEG or PNG",
            kind.trim()
        ));
    }
    FormatError::malformed(format!(
        "no picture ({}): JPEG, PNG, WebP, GIF, BMP and TIFF are read",
        describe(bytes)
    ))
}

fn picture_error(error: ImageError) -> FormatError {
    match &error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError | LimitErrorKind::InsufficientMemory => FormatError::unsafe_input(
                "the picture needs more memory than is granted to one: make it smaller",
            ),
            _ => FormatError::unsafe_input(format!("the picture passes a limit ({error})")),
        },
        ImageError::Unsupported(_) => FormatError::value(format!("a variant that is not read ({error})")),
        _ => FormatError::malformed(format!("a damaged picture ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, Rgba, RgbaImage};

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn png_survives_and_damage_is_an_error() {
        let picture = Picture::new(3, 2, (0..18).map(|x| x * 14).collect());
        let bytes = picture.png_bytes().unwrap();
        assert_eq!(Picture::from_bytes(&bytes).unwrap().rgb, picture.rgb);
        for cut in 0..bytes.len() {
            let _ = Picture::from_bytes(&bytes[..cut]);
        }
        assert_eq!(Picture::from_bytes(&bytes[..40]).unwrap_err().word(), "malformed");
        assert_eq!(Picture::from_bytes(b"").unwrap_err().word(), "malformed");
        assert!(Picture::from_bytes(b"hello").unwrap_err().to_string().contains("no picture"));
    }

    #[test]
    fn transparency_is_laid_over_white_and_16_bits_are_reduced() {
        let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(1, 1, Rgba([0, 0, 0, 0])));
        let read = Picture::from_bytes(&encode(&clear, ImageFormat::Png)).unwrap();
        assert_eq!(read.pixel(0, 0), [255, 255, 255]);
        let deep = image::ImageBuffer::from_pixel(2, 1, Rgb([65535u16, 0, 32768]));
        let read = Picture::from_bytes(&encode(&DynamicImage::ImageRgb16(deep), ImageFormat::Png)).unwrap();
        assert_eq!(read.pixel(1, 0), [255, 0, 128]);
    }

    /// A PNG header alone that promises a picture of this size.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Picture::filled(1, 1, [0; 3]).png_bytes().unwrap();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = u32::MAX;
        for &byte in &bytes[12..29] {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            }
        }
        bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
        bytes
    }

    #[test]
    fn giants_are_refused_before_decoding() {
        let error = Picture::from_bytes(&png_header(20_000, 20_000)).unwrap_err();
        assert_eq!(error.word(), "unsafe");
        assert!(error.to_string().contains("20000 x 20000"), "{error}");
        assert!(Picture::from_bytes(&png_header(0, 5)).is_err());
    }

    /// A JPEG of 8 x 8 pixels in CMYK as Adobe writes it, every ink at the middle.
    fn cmyk_jpeg() -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        let mut segment = |marker: u8, body: &[u8]| {
            bytes.extend_from_slice(&[0xff, marker]);
            bytes.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
            bytes.extend_from_slice(body);
        };
        segment(0xee, b"Adobe\0\x64\0\0\0\0\0");
        segment(0xdb, &[&[0u8][..], &[1; 64]].concat());
        let frame = [8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0];
        segment(0xc0, &frame);
        // One code of one bit each: "no difference" and "end of block".
        for class in [0x00, 0x10] {
            let mut table = vec![class, 1];
            table.extend_from_slice(&[0; 16]);
            segment(0xc4, &table);
        }
        segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
        bytes.extend_from_slice(&[0x00, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn cmyk_becomes_rgb() {
        let picture = Picture::from_bytes(&cmyk_jpeg()).unwrap();
        assert_eq!((picture.width, picture.height), (8, 8));
        let [r, g, b] = picture.pixel(3, 3);
        assert!(r == g && g == b && (50..90).contains(&r), "{r} {g} {b}");
    }

    #[test]
    fn a_jpeg_that_ends_in_the_middle_is_refused() {
        let ramp =
            image::RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, (x ^ y) as u8]));
        let bytes = encode(&DynamicImage::ImageRgb8(ramp), ImageFormat::Jpeg);
        assert!(Picture::from_bytes(&bytes).is_ok());
        // What follows the end is of no interest.
        assert!(Picture::from_bytes(&[&bytes[..], b"trailer"].concat()).is_ok());
        for cut in [2, bytes.len() / 4, bytes.len() / 2, bytes.len() - 2] {
            let error = Picture::from_bytes(&bytes[..cut]).unwrap_err();
            assert_eq!(error.word(), "malformed", "{error}");
        }
    }

    #[test]
    fn animations_give_their_first_frame() {
        let frame = |color: [u8; 4]| image::Frame::new(RgbaImage::from_pixel(5, 4, Rgba(color)));
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        encoder.encode_frames([frame([255, 0, 0, 255]), frame([0, 0, 255, 255])]).unwrap();
        drop(encoder);
        let picture = Picture::from_bytes(&bytes).unwrap();
        assert_eq!((picture.width, picture.height, picture.pixel(2, 2)), (5, 4, [255, 0, 0]));
    }

    #[test]
    fn orientation_tags_are_applied() {
        // A left-to-right ramp saved with "turn by 90 degrees clockwise".
        let ramp = image::RgbImage::from_fn(16, 8, |x, _| Rgb([(x * 16) as u8; 3]));
        let jpeg = encode(&DynamicImage::ImageRgb8(ramp), ImageFormat::Jpeg);
        let tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend_from_slice(&[0xff, 0xe1]);
        bytes.extend_from_slice(&(tiff.len() as u16 + 2).to_be_bytes());
        bytes.extend_from_slice(tiff);
        bytes.extend_from_slice(&jpeg[2..]);
        let picture = Picture::from_bytes(&bytes).unwrap();
        assert_eq!((picture.width, picture.height), (8, 16));
        assert!(picture.pixel(4, 15)[0] > picture.pixel(4, 0)[0] + 100);
    }
}
