//! What is an error called where it is data?

use super::Error;

impl Error {
    /// Returns the name of the error's variant, such as `Compile`, for programs that count or sort errors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Unavailable(_) => "Unavailable",
            Error::Compile(_) => "Compile",
            Error::Script { .. } => "Script",
            Error::Option { .. } => "Option",
            Error::Command { .. } => "Command",
            Error::Process { .. } => "Process",
            Error::Libdtrace { .. } => "Libdtrace",
            Error::Enable { .. } => "Enable",
            Error::NotBegun => "NotBegun",
            Error::NotVerified { .. } => "NotVerified",
            Error::WorkerStart { .. } => "WorkerStart",
            Error::Elevation { .. } => "Elevation",
            Error::Refused { .. } => "Refused",
            Error::Limit { .. } => "Limit",
            Error::WorkerDied { .. } => "WorkerDied",
            Error::WorkerSilent { .. } => "WorkerSilent",
            Error::Aborted => "Aborted",
            Error::Deadline { .. } => "Deadline",
            Error::Stream { .. } => "Stream",
            Error::Recording { .. } => "Recording",
            Error::NotARecording { .. } => "NotARecording",
            Error::RecordingVersion { .. } => "RecordingVersion",
            Error::RecordingByteOrder { .. } => "RecordingByteOrder",
            Error::NotRecorded { .. } => "NotRecorded",
            Error::Setting { .. } => "Setting",
            Error::Callback { .. } => "Callback",
            Error::Panicked { .. } => "Panicked",
            Error::Row(_) => "Row",
            Error::Lost(_) => "Lost",
            Error::System { .. } => "System",
        }
    }
}
