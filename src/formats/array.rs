//! Arrays of any shape and number type, as files hold them: row-major, native byte order.

use half::{bf16, f16};

use super::FormatError;

/// The values of an [`Array`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Text(Vec<String>),
}

/// Evaluates `$body` with `$values` bound to the vector of whichever kind the data is.
macro_rules! each_kind {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            ArrayData::Bool($values) => $body,
            ArrayData::I8($values) => $body,
            ArrayData::U8($values) => $body,
            ArrayData::I16($values) => $body,
            ArrayData::U16($values) => $body,
            ArrayData::I32($values) => $body,
            ArrayData::U32($values) => $body,
            ArrayData::I64($values) => $body,
            ArrayData::U64($values) => $body,
            ArrayData::F16($values) => $body,
            ArrayData::BF16($values) => $body,
            ArrayData::F32($values) => $body,
            ArrayData::F64($values) => $body,
            ArrayData::Text($values) => $body,
        }
    };
}

/// Values as `$to`, by `as` for plain numbers.
macro_rules! numbers {
    ($array:expr, $to:ty, $half:expr, $brain:expr) => {
        match &$array.data {
            ArrayData::Bool(v) => Ok(v.iter().map(|&x| u8::from(x) as $to).collect()),
            ArrayData::I8(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::U8(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::I16(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::U16(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::I32(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::U32(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::I64(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::U64(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::F16(v) => Ok(v.iter().map(|&x| $half(x)).collect()),
            ArrayData::BF16(v) => Ok(v.iter().map(|&x| $brain(x)).collect()),
            ArrayData::F32(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::F64(v) => Ok(v.iter().map(|&x| x as $to).collect()),
            ArrayData::Text(_) => Err(FormatError::value("text where numbers are expected")),
        }
    };
}

impl ArrayData {
    pub fn len(&self) -> usize {
        each_kind!(self, values => values.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// numpy's code of the type without its byte order ("f4", "U").
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b1",
            Self::I8(_) => "i1",
            Self::U8(_) => "u1",
            Self::I16(_) => "i2",
            Self::U16(_) => "u2",
            Self::I32(_) => "i4",
            Self::U32(_) => "u4",
            Self::I64(_) => "i8",
            Self::U64(_) => "u8",
            Self::F16(_) => "f2",
            Self::BF16(_) => "bf2",
            Self::F32(_) => "f4",
            Self::F64(_) => "f8",
            Self::Text(_) => "U",
        }
    }

    /// The values at these places; all of them must be there.
    pub(super) fn picked(&self, places: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], places: &[usize]) -> Vec<T> {
            places.iter().filter_map(|&at| values.get(at).cloned()).collect()
        }
        match self {
            Self::Bool(v) => Self::Bool(pick(v, places)),
            Self::I8(v) => Self::I8(pick(v, places)),
            Self::U8(v) => Self::U8(pick(v, places)),
            Self::I16(v) => Self::I16(pick(v, places)),
            Self::U16(v) => Self::U16(pick(v, places)),
            Self::I32(v) => Self::I32(pick(v, places)),
            Self::U32(v) => Self::U32(pick(v, places)),
            Self::I64(v) => Self::I64(pick(v, places)),
            Self::U64(v) => Self::U64(pick(v, places)),
            Self::F16(v) => Self::F16(pick(v, places)),
            Self::BF16(v) => Self::BF16(pick(v, places)),
            Self::F32(v) => Self::F32(pick(v, places)),
            Self::F64(v) => Self::F64(pick(v, places)),
            Self::Text(v) => Self::Text(pick(v, places)),
        }
    }

    /// The same values, taken from column-major order of `shape` into row-major order.
    pub(crate) fn reordered_from_columns(self, shape: &[usize]) -> Self {
        fn reorder<T: Clone>(values: &[T], shape: &[usize]) -> Vec<T> {
            let mut strides = vec![1usize; shape.len()];
            for axis in 1..shape.len() {
                strides[axis] = strides[axis - 1] * shape[axis - 1];
            }
            let Some((&columns, rest)) = shape.split_last() else { return values.to_vec() };
            let Some((&step, steps)) = strides.split_last() else { return values.to_vec() };
            let mut out = Vec::with_capacity(values.len());
            if columns > 0 {
                for first in strided(0, rest, steps) {
                    out.extend(values[first..].iter().step_by(step.max(1)).take(columns).cloned());
                }
            }
            out
        }
        // With one axis longer than one, both orders are the same.
        if shape.iter().filter(|&&size| size != 1).count() < 2 {
            return self;
        }
        match self {
            Self::Bool(v) => Self::Bool(reorder(&v, shape)),
            Self::I8(v) => Self::I8(reorder(&v, shape)),
            Self::U8(v) => Self::U8(reorder(&v, shape)),
            Self::I16(v) => Self::I16(reorder(&v, shape)),
            Self::U16(v) => Self::U16(reorder(&v, shape)),
            Self::I32(v) => Self::I32(reorder(&v, shape)),
            Self::U32(v) => Self::U32(reorder(&v, shape)),
            Self::I64(v) => Self::I64(reorder(&v, shape)),
            Self::U64(v) => Self::U64(reorder(&v, shape)),
            Self::F16(v) => Self::F16(reorder(&v, shape)),
            Self::BF16(v) => Self::BF16(reorder(&v, shape)),
            Self::F32(v) => Self::F32(reorder(&v, shape)),
            Self::F64(v) => Self::F64(reorder(&v, shape)),
            Self::Text(v) => Self::Text(reorder(&v, shape)),
        }
    }
}

/// Values with a shape; a shape without axes is a single number.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: ArrayData,
}

macro_rules! constructors {
    ($($name:ident: $type:ty => $kind:ident),*) => {
        $(
            /// Values in row-major order; their number must be the product of `shape`.
            pub fn $name(shape: &[usize], values: Vec<$type>) -> Self {
                Self::new(shape, ArrayData::$kind(values))
            }
        )*
    };
}

impl Array {
    /// # Panics
    /// Where the number of values is not the product of `shape`: a mistake of the caller, never of a file.
    pub fn new(shape: &[usize], data: ArrayData) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "values do not fill shape {shape:?}");
        Self { shape: shape.to_vec(), data }
    }

    constructors! {
        bool: bool => Bool, i8: i8 => I8, u8: u8 => U8, i16: i16 => I16, u16: u16 => U16,
        i32: i32 => I32, u32: u32 => U32, i64: i64 => I64, u64: u64 => U64,
        f16: f16 => F16, f32: f32 => F32, f64: f64 => F64, text: String => Text
    }

    /// The same numbers with its axes in another order; `axes` names each of them once.
    pub(super) fn transposed(&self, axes: &[usize]) -> Self {
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        if self.is_empty() {
            return Self { shape, data: self.data.clone() };
        }
        let mut strides = vec![1usize; self.shape.len()];
        for axis in (1..self.shape.len()).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
        let data = self.data.picked(&strided(0, &shape, &steps));
        Self { shape, data }
    }

    /// A single number.
    pub fn scalar_f64(value: f64) -> Self {
        Self::f64(&[], vec![value])
    }

    /// A single text.
    pub fn scalar_text(value: &str) -> Self {
        Self::text(&[], vec![value.to_owned()])
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn is_integer(&self) -> bool {
        use ArrayData::{BF16, F16, F32, F64, Text};
        !matches!(self.data, F16(_) | BF16(_) | F32(_) | F64(_) | Text(_))
    }

    /// Every number as f32 (rounded where it has more digits).
    ///
    /// # Errors
    /// `Value` for text.
    pub fn to_f32(&self) -> Result<Vec<f32>, FormatError> {
        numbers!(self, f32, f16::to_f32, bf16::to_f32)
    }

    /// Every number as f64.
    ///
    /// # Errors
    /// `Value` for text.
    pub fn to_f64(&self) -> Result<Vec<f64>, FormatError> {
        numbers!(self, f64, f16::to_f64, bf16::to_f64)
    }

    /// Integers as i64; floats only where they are whole.
    ///
    /// # Errors
    /// `Value` for text, fractions, and numbers beyond 64 bits.
    pub fn to_i64(&self) -> Result<Vec<i64>, FormatError> {
        match &self.data {
            ArrayData::U64(v) => v
                .iter()
                .map(|&x| i64::try_from(x).map_err(|_| FormatError::value(format!("{x} is beyond 64 bits"))))
                .collect(),
            ArrayData::F16(_) | ArrayData::BF16(_) | ArrayData::F32(_) | ArrayData::F64(_) => self
                .to_f64()?
                .into_iter()
                .map(|x| {
                    // 2^63 itself does not fit.
                    if x.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&x) {
                        Ok(x as i64)
                    } else {
                        Err(FormatError::value(format!("{x} where a whole number is expected")))
                    }
                })
                .collect(),
            _ => numbers!(self, i64, |x: f16| x.to_f64() as i64, |x: bf16| x.to_f64() as i64),
        }
    }

    /// Whole numbers that are not negative.
    ///
    /// # Errors
    /// As [`Array::to_i64`], and `Value` for a negative number.
    pub fn to_usize(&self) -> Result<Vec<usize>, FormatError> {
        self.to_i64()?
            .into_iter()
            .map(|x| {
                usize::try_from(x)
                    .map_err(|_| FormatError::value(format!("{x} where a count or index is expected")))
            })
            .collect()
    }

    /// # Errors
    /// `Value` for numbers.
    pub fn to_text(&self) -> Result<&[String], FormatError> {
        match &self.data {
            ArrayData::Text(values) => Ok(values),
            _ => Err(FormatError::value("numbers where text is expected")),
        }
    }

    /// The only element of an array of any number of axes.
    ///
    /// # Errors
    /// `Shape` where there are none or several, `Value` for text.
    pub fn to_scalar(&self) -> Result<f64, FormatError> {
        match self.to_f64()?.as_slice() {
            [value] => Ok(*value),
            values => Err(FormatError::shape(format!("{} numbers where one is expected", values.len()))),
        }
    }

    /// Checks the sizes of the axes; `None` accepts any.
    ///
    /// # Errors
    /// `Shape` with both shapes in the text.
    pub fn expect_shape(&self, wanted: &[Option<usize>]) -> Result<(), FormatError> {
        let fits = self.shape.len() == wanted.len()
            && self.shape.iter().zip(wanted).all(|(&size, want)| want.is_none_or(|want| want == size));
        if fits {
            return Ok(());
        }
        let wanted: Vec<String> =
            wanted.iter().map(|size| size.map_or("any".to_owned(), |size| size.to_string())).collect();
        Err(FormatError::shape(format!("shape {:?} where [{}] is expected", self.shape, wanted.join(", "))))
    }
}

/// Places of all elements in row-major order of `shape`, from the place of the first and the steps of the axes.
pub(super) fn strided(first: usize, shape: &[usize], steps: &[usize]) -> Vec<usize> {
    let count = shape.iter().product();
    let mut places = Vec::with_capacity(count);
    let mut index = vec![0usize; shape.len()];
    let mut at = first;
    for _ in 0..count {
        places.push(at);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_major_values_become_row_major() {
        let data = ArrayData::I32(vec![1, 4, 2, 5, 3, 6]).reordered_from_columns(&[2, 3]);
        assert_eq!(data, ArrayData::I32(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn conversions_refuse_what_would_be_lost() {
        assert!(Array::f64(&[1], vec![1.5]).to_i64().is_err());
        assert!(Array::i64(&[1], vec![-1]).to_usize().is_err());
        assert!(Array::u64(&[1], vec![u64::MAX]).to_i64().is_err());
        assert_eq!(Array::f32(&[1], vec![3.0]).to_usize().unwrap(), [3]);
        assert!(Array::scalar_text("x").to_f32().is_err());
    }

    #[test]
    fn expected_shapes_name_both() {
        let array = Array::f32(&[2, 3], vec![0.0; 6]);
        assert!(array.expect_shape(&[None, Some(3)]).is_ok());
        let error = array.expect_shape(&[Some(4), None]).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 3] where [4, any] is expected");
    }
}
