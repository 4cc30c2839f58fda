//! A tenant whose blobs cost its server next to nothing: what is measured beside it is the client.
//!
//! One thread a connection, HTTP/1.1, no faults, no quota. The simulated tenant of the product makes each blob anew, which
//! takes more time than reading it.

mod body;
mod manner;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use defender_feed::domain::Time;

use body::{Bodies, Rest};
pub(crate) use manner::{Manner, PAGE};

const DAY: Duration = Duration::from_secs(86_400);

/// What the tenant is like.
#[derive(Debug, Clone)]
struct Content {
    manner: Manner,
    bodies: Arc<Bodies>,
    base: String,
    begin: Time,
}

/// The local clock, which is this tenant's too.
pub(crate) fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// Serves until the process is ended. Says its address first.
pub(crate) fn serve(words: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let manner = Manner::of(words).ok_or("a tenant of no known manner")?;
    let bodies = Arc::new(Bodies::of(manner));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let base = format!("http://{}", listener.local_addr()?);
    // An hour from now the oldest blob is still within a day.
    let begin = now() - (DAY - Duration::from_secs(3600));
    let content = Content { manner, bodies, base: base.clone(), begin };
    writeln!(std::io::stdout(), "{base}")?;
    for stream in listener.incoming() {
        let (stream, content) = (stream?, content.clone());
        std::thread::spawn(move || {
            // A client that leaves ends its connection.
            let _ = content.answer_all(stream);
        });
    }
    Ok(())
}

/// Reads a request and returns its target; `None` if the client is gone.
fn request(reader: &mut BufReader<TcpStream>, line: &mut String) -> std::io::Result<Option<String>> {
    line.clear();
    if reader.read_line(line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut std::io::Read::take(reader, length), &mut std::io::sink())?;
    Ok(Some(target))
}

impl Content {
    fn answer_all(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
        let (mut line, mut body) = (String::new(), Vec::new());
        while let Some(target) = request(&mut reader, &mut line)? {
            body.clear();
            let Rest { headers, goes_on, times, ends } = self.answer(&target, &mut body);
            let length = (body.len() + ends.len()) as u64 + goes_on.len() as u64 * times;
            let date = now().utc().format("%a, %d %b %Y %H:%M:%S GMT");
            let head = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n",
            );
            writer.write_all(head.as_bytes())?;
            writer.write_all(&body)?;
            for _ in 0..times {
                writer.write_all(goes_on)?;
            }
            writer.write_all(ends)?;
        }
        Ok(())
    }

    /// Writes the beginning of the body, and returns what comes after it.
    fn answer(&self, target: &str, body: &mut Vec<u8>) -> Rest<'_> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some((_, number)) = path.rsplit_once("/audit/") {
            let number = number.split('$').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            return self.bodies.blob(number, body);
        }
        if path.ends_with("/subscriptions/content") {
            return Rest::headers(self.list(path, query, body));
        }
        body.extend_from_slice(if path.ends_with("/token") {
            // Of the usual form: a client may look into it.
            br#"{"token_type":"Bearer","expires_in":86399,"ext_expires_in":86399,"access_token":"a.benchmark.token"}"#
        } else {
            br#"[{"contentType":"Audit.General","status":"enabled","webhook":null}]"#
        });
        Rest::headers(String::new())
    }

    fn created(&self, number: u64) -> Time {
        if let Manner::Appearing { begin, every } = self.manner {
            return Manner::appears(begin, every, number);
        }
        let spread = DAY - Duration::from_secs(2 * 3600);
        self.begin + spread.mul_f64(number as f64 / self.manner.blobs().max(1) as f64)
    }

    /// How many blobs there are at this moment.
    fn blobs_now(&self) -> u64 {
        match self.manner {
            Manner::Appearing { begin, every } => {
                let since = u64::try_from(now().since(begin).as_millis()).unwrap_or(0);
                if now() < begin { 0 } else { since / every + 1 }
            }
            manner => manner.blobs(),
        }
    }

    fn list(&self, path: &str, query: &str, body: &mut Vec<u8>) -> String {
        let value = |name: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
        };
        let time = |name: &str| value(name).and_then(|text| Time::parse(&text.replace("%3A", ":")));
        let (from, to) = (time("startTime").unwrap_or(Time::MIN), time("endTime").unwrap_or(Time::MAX));
        let after = value("nextPage").and_then(|key| key.parse::<u64>().ok()).unwrap_or(0);
        let mut shown = (after..self.blobs_now()).filter(|n| (from..to).contains(&self.created(*n)));
        body.push(b'[');
        let mut last = after;
        for number in shown.by_ref().take(usize::try_from(self.manner.page()).unwrap_or(usize::MAX)) {
            if body.len() > 1 {
                body.push(b',');
            }
            last = number;
            let (created, expires) = (self.created(number), self.created(number) + 7 * DAY);
            let id = format!("{number}$20260301120000000000000$1$audit_general$na0001");
            let root = path.trim_end_matches("/subscriptions/content");
            let _ = write!(
                body,
                r#"{{"contentUri":"{}{root}/audit/{id}","contentId":"{id}","contentType":"Audit.General","contentCreated":"{created}","contentExpiration":"{expires}"}}"#,
                self.base
            );
        }
        body.push(b']');
        if shown.next().is_none() {
            return String::new();
        }
        let query = query.split('&').filter(|pair| !pair.starts_with("nextPage=")).collect::<Vec<_>>().join("&");
        format!("NextPageUri: {}{path}?{query}&nextPage={}\r\n", self.base, last + 1)
    }
}
