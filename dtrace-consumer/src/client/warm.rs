//! Opens libdtrace before it is needed.

use super::admit::admitted;
use super::elevation::Elevation;
use super::inquiry;
use super::settings::{Access, Settings};
use super::system::WORKERS_ARE_COPIED;
use super::template;
use crate::data::script::Script;
use crate::stream::job::Purpose;

/// Makes a template in the background, for sessions with these settings, and keeps it. Errors are those of the
/// session, which reports them.
pub(crate) fn warm_up(settings: &Settings) {
    if !WORKERS_ARE_COPIED || settings.access.elevation != Elevation::None {
        return;
    }
    let types = settings.scripts.iter().any(Script::seems_to_need_types);
    let access = Access { admitted: None, ..settings.access.clone() };
    let mut settings = Settings { access, ..Settings::default() };
    let coolings = template::coolings();
    let open = move || {
        let nothing = Purpose::Lookup { names: Vec::new(), addresses: Vec::new() };
        let admitted = admitted(&mut settings);
        if admitted.and_then(|settings| inquiry::look_up(settings, nothing)).is_ok() {
            template::keep(types, coolings);
        }
    };
    // Without a thread, the session takes as long as without this.
    let _ = std::thread::Builder::new().name("dtrace-warm".to_owned()).spawn(open);
}
