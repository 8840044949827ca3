//! How an event is written: as a line for eyes, or as a JSON object. Both look as the library's own formats do, and both
//! are dear there: for eyes by the colours, which nobody asked for, in JSON by a serializer over a trait object. Each message
//! that is sent is a line, so here a line for eyes has no colours, and an object is put together in one text.

use std::{
    fmt::{self, Write},
    time::SystemTime,
};

use jiff::{
    Timestamp,
    fmt::{StdFmtWrite, temporal::DateTimePrinter},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::{LookupSpan, Scope},
};

/// `time LEVEL spans: target: fields`; each field brings a space before it.
pub(super) struct PlainLine;

impl<S, N> FormatEvent<S, N> for PlainLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        time(&mut line)?;
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        write!(line, " {:>5} ", metadata.level().as_str())?;
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            line.write_str(span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(line, "{{{}}}", fields.trim_start())?;
            }
            line.write_str(":")?;
        }
        if context.event_scope().is_some() {
            line.write_str(" ")?;
        }
        line.write_str(metadata.target())?;
        line.write_str(":")?;
        context.format_fields(line.by_ref(), event)?;
        line.write_char('\n')
    }
}

/// What `tracing-log` adds to a record of the library `log`; the line's target says it already.
pub(super) fn says_where_it_was_logged(field: &Field) -> bool {
    matches!(field.name(), "log.target" | "log.module_path" | "log.file" | "log.line")
}

/// `{"timestamp":…,"level":…,` fields `,"target":…,"span":{…}}`, the span only if there is one.
pub(super) struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut line = String::with_capacity(LINE_BYTES);
        line.push_str("{\"timestamp\":\"");
        time(&mut line)?;
        line.push_str("\",\"level\":\"");
        line.push_str(metadata.level().as_str());
        line.push('"');
        event.record(&mut Fields(&mut line));
        line.push_str(",\"target\":");
        text(&mut line, metadata.target());
        if let Some(span) = event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current()) {
            line.push_str(",\"span\":{\"name\":");
            text(&mut line, span.name());
            // They are an object of their own, `{…}`.
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>().and_then(|fields| fields.strip_prefix('{'));
            match fields {
                Some("}") | None => line.push('}'),
                Some(fields) => line.extend([",", fields]),
            }
        }
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// RFC 3339, UTC, with microseconds.
const WITH_MICROS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Now. The library's own way to write it goes through a formatter for each of seven numbers.
fn time(line: &mut impl Write) -> fmt::Result {
    #[expect(clippy::disallowed_methods, reason = "a line tells when it was written; nothing is decided by it")]
    let now = SystemTime::now();
    let now = Timestamp::try_from(now).map_err(|_| fmt::Error)?; // after the year 9999
    WITH_MICROS.print_timestamp(&now, StdFmtWrite(line)).map_err(|_| fmt::Error)
}

/// Room for a usual line.
const LINE_BYTES: usize = 512;

/// Writes the fields of an event, each after a comma.
struct Fields<'l>(&'l mut String);

impl Fields<'_> {
    /// The place of a field's value.
    fn named(&mut self, field: &Field) -> Option<&mut String> {
        if says_where_it_was_logged(field) {
            return None;
        }
        self.0.push(',');
        text(self.0, field.name().strip_prefix("r#").unwrap_or_else(|| field.name()));
        self.0.push(':');
        Some(self.0)
    }

    fn plain(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if let Some(line) = self.named(field) {
            // Writing to a string cannot fail.
            let _ = line.write_fmt(value);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, format_args!("{value}"));
    }

    /// JSON has no word for infinity.
    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() { format_args!("{value:?}") } else { format_args!("null") };
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(line) = self.named(field) {
            text(line, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(line) = self.named(field) {
            line.push('"');
            // What cannot be written in full ends where it failed.
            let _ = write!(InString(line), "{value:?}");
            line.push('"');
        }
    }
}

/// A JSON string (RFC 8259, 7).
fn text(line: &mut String, text: &str) {
    line.push('"');
    // Writing to a string cannot fail.
    let _ = InString(line).write_str(text);
    line.push('"');
}

/// Escapes what would end a string, and what may not stand in one.
struct InString<'l>(&'l mut String);

impl Write for InString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((before, special, after)) = first_special(rest) {
            self.0.push_str(before);
            match special {
                '"' | '\\' => self.0.extend(['\\', special]),
                control => write!(self.0, "\\u{:04x}", u32::from(control))?,
            }
            rest = after;
        }
        self.0.push_str(rest);
        Ok(())
    }
}

/// The first character to escape, with what stands before and after it.
fn first_special(text: &str) -> Option<(&str, char, &str)> {
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    // Nearly no text has one. All of it is looked at, which many bytes at a time can be.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        return None;
    }
    let at = text.bytes().position(is_special)?;
    let (before, from) = text.split_at_checked(at)?;
    let mut characters = from.chars();
    Some((before, characters.next()?, characters.as_str()))
}
