//! Why there is no connection.

use std::{error::Error as StdError, io};

use batch_core::{Error, ErrorKind};
use scylla::errors::{
    BrokenConnectionError, BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError,
    ConnectionSetupRequestErrorKind, DbError, MetadataError, NewSessionError,
};

use super::{Verdict, line, unknown_type};

/// Why no session could be made with any of the contact points.
pub(crate) fn not_connected(points: &str, error: &NewSessionError) -> Error {
    let verdict = match error {
        NewSessionError::FailedToResolveAnyHostname(_) => {
            Verdict::later(ErrorKind::Connection, "no such host is known; correct the name")
        }
        NewSessionError::MetadataError(error) => of_metadata(error),
        other => Verdict::refused(ErrorKind::InvalidOperation, line(other)),
    };
    let message = format!("cannot connect to {points}: {}", verdict.message).into();
    Verdict { message, ..verdict }.into_error("", error.clone())
}

pub(super) fn of_metadata(error: &MetadataError) -> Verdict {
    match error {
        MetadataError::ConnectionPoolError(error) => of_pool(error),
        other => match unknown_type(other) {
            Some(typ) => Verdict::refused(
                ErrorKind::Unsupported,
                format!("the driver knows no type `{}`, which something in it has", line(typ)),
            ),
            None => Verdict::later(ErrorKind::Protocol, line(other)),
        },
    }
}

/// Why no connection to a node can be had, so that nothing was sent.
pub(super) fn of_pool(error: &ConnectionPoolError) -> Verdict {
    match error {
        ConnectionPoolError::Broken { last_connection_error } => {
            of_connection(last_connection_error)
        }
        other => Verdict::later(ErrorKind::Connection, line(other)),
    }
}

fn of_connection(error: &ConnectionError) -> Verdict {
    match error {
        ConnectionError::ConnectTimeout => Verdict::later(
            ErrorKind::Timeout,
            "the server does not answer; look whether it is up, and a firewall in between",
        ),
        ConnectionError::IoError(error) => of_io(error),
        ConnectionError::ConnectionSetupRequestError(error) => of_setup(error.get_error()),
        ConnectionError::BrokenConnection(error) => of_broken(error),
        other => Verdict::later(ErrorKind::Connection, line(other)),
    }
}

fn of_broken(error: &BrokenConnectionError) -> Verdict {
    match error.downcast_ref() {
        Some(BrokenConnectionErrorKind::KeepaliveTimeout(_)) => Verdict::later(
            ErrorKind::Timeout,
            "the server takes connections and says nothing; look whether it hangs",
        ),
        _ => Verdict::later(
            ErrorKind::Connection,
            format!(
                "the connection broke ({}); look whether the server speaks CQL on this port, and whether it asks for TLS",
                line(error)
            ),
        ),
    }
}

fn of_io(error: &io::Error) -> Verdict {
    let mut cause = error.get_ref().map(|error| error as &dyn StdError);
    // What a TLS library says comes wrapped, with a kind of its own.
    if matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other
    ) {
        while let Some(source) = cause.and_then(StdError::source) {
            cause = Some(source);
        }
        let why = cause.map_or_else(|| line(error), line);
        // The greeting of TLS was answered by something else, or by nothing.
        if why.contains("InvalidContentType") || error.kind() == io::ErrorKind::UnexpectedEof {
            return Verdict::refused(
                ErrorKind::Connection,
                format!(
                    "the server seems to speak no TLS on this port ({why}); connect by `cql://` instead, or correct the port"
                ),
            );
        }
        return Verdict::refused(
            ErrorKind::Connection,
            format!(
                "TLS failed ({why}); look whether the server asks for TLS on this port, and which authority signed its certificate for which name"
            ),
        );
    }
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there; start the server, or correct host and port".to_owned()
        }
        _ => line(error),
    };
    Verdict::later(ErrorKind::Connection, why)
}

fn of_setup(error: &ConnectionSetupRequestErrorKind) -> Verdict {
    use ConnectionSetupRequestErrorKind as E;
    match error {
        E::MissingAuthentication => Verdict::refused(
            ErrorKind::Unauthorized,
            "the server asks who it is; give a user and a password",
        ),
        E::DbError(DbError::AuthenticationError | DbError::Unauthorized, text) => Verdict::refused(
            ErrorKind::Unauthorized,
            format!("the server refuses the user or the password ({}); correct them", line(text)),
        ),
        E::StartAuthSessionError(error)
        | E::AuthChallengeEvaluationError(error)
        | E::AuthFinishError(error) => Verdict::refused(ErrorKind::Unauthorized, line(error)),
        E::DbError(DbError::ProtocolError, text) => Verdict::refused(
            ErrorKind::Unsupported,
            format!("the server does not speak version 4 of the native protocol: {}", line(text)),
        ),
        E::DbError(error, text) => Verdict::later(
            ErrorKind::Connection,
            format!("the server refuses the connection ({}): {}", line(error), line(text)),
        ),
        E::BrokenConnection(error) => of_broken(error),
        other => Verdict::refused(
            ErrorKind::Protocol,
            format!("the server does not answer as one that speaks CQL ({})", line(other)),
        ),
    }
}
