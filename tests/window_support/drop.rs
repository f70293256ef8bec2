//! Drops a file onto a window as a file manager does: the XDND protocol, version 5.

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use super::display::Display;

const VERSION: u32 = 5;

/// # Errors
/// Where the window does not take the drop, in words.
pub fn drop_file(display: &Display, window: u32, path: &Path) -> Result<(), String> {
    let (connection, root) = display.connect();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let atom = |name: &str| -> Result<u32, String> {
        let cookie = connection.intern_atom(false, name.as_bytes()).map_err(|e| text(&e))?;
        Ok(cookie.reply().map_err(|e| text(&e))?.atom)
    };
    let selection = atom("XdndSelection")?;
    let uri_list = atom("text/uri-list")?;
    let copy = atom("XdndActionCopy")?;
    let [enter, position, status, dropped, finished] = [
        atom("XdndEnter")?,
        atom("XdndPosition")?,
        atom("XdndStatus")?,
        atom("XdndDrop")?,
        atom("XdndFinished")?,
    ];

    let source = connection.generate_id().map_err(|e| text(&e))?;
    connection
        .create_window(
            0,
            source,
            root,
            0,
            0,
            1,
            1,
            0,
            WindowClass::INPUT_ONLY,
            0,
            &CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE),
        )
        .map_err(|e| text(&e))?;
    connection.set_selection_owner(source, selection, x11rb::CURRENT_TIME).map_err(|e| text(&e))?;

    let send = |kind: u32, data: [u32; 5]| -> Result<(), String> {
        let event = ClientMessageEvent::new(32, window, kind, data);
        connection.send_event(false, window, EventMask::NO_EVENT, event).map_err(|e| text(&e))?;
        connection.flush().map_err(|e| text(&e))
    };
    send(enter, [source, VERSION << 24, uri_list, 0, 0])?;
    send(position, [source, 0, (640 << 16) | 400, x11rb::CURRENT_TIME, copy])?;

    let list = format!("file://{}\r\n", path.display());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut is_dropped = false;
    while Instant::now() < deadline {
        let Some(event) = connection.poll_for_event().map_err(|e| text(&e))? else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        match event {
            Event::SelectionRequest(request) => {
                connection
                    .change_property8(
                        PropMode::REPLACE,
                        request.requestor,
                        request.property,
                        request.target,
                        list.as_bytes(),
                    )
                    .map_err(|e| text(&e))?;
                let answer = SelectionNotifyEvent {
                    response_type: SELECTION_NOTIFY_EVENT,
                    sequence: 0,
                    time: request.time,
                    requestor: request.requestor,
                    selection: request.selection,
                    target: request.target,
                    property: request.property,
                };
                connection
                    .send_event(false, request.requestor, EventMask::NO_EVENT, answer)
                    .map_err(|e| text(&e))?;
                connection.flush().map_err(|e| text(&e))?;
            }
            Event::ClientMessage(message) if message.type_ == status && !is_dropped => {
                if message.data.as_data32()[1] & 1 == 0 {
                    return Err("the window refuses the drop".to_owned());
                }
                is_dropped = true;
                send(dropped, [source, 0, x11rb::CURRENT_TIME, 0, 0])?;
            }
            Event::ClientMessage(message) if message.type_ == finished => return Ok(()),
            _ => {}
        }
    }
    Err(if is_dropped { "the drop was never finished" } else { "the window never answered" }.to_owned())
}
