//! The clients that `backfill` is measured beside. The bare one lists the day, downloads every blob, and keeps nothing. The one that
//! filters writes the wanted records down too, as a short program would: each blob in memory, no cursor, nothing made durable.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flate2::write::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::corpus::is_wanted;

/// Blobs that it downloads at once.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    content_uri: String,
}

/// Where the wanted records go, if they go anywhere.
type Output = Option<Arc<Mutex<BufWriter<File>>>>;

/// Downloads everything that the tenant lists, and writes what is wanted of it to that file; says how many bytes it was, after
/// decompression.
pub(crate) fn run(base: &str, output: Option<&Path>) -> Result<u64, Box<dyn std::error::Error>> {
    let output: Output = match output {
        Some(path) => Some(Arc::new(Mutex::new(BufWriter::with_capacity(1 << 20, File::create(path)?)))),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build()?;
        let mut next = Some(format!("{base}/api/v1.0/t/activity/feed/subscriptions/content?contentType=Audit.General"));
        let mut blobs = Vec::new();
        while let Some(url) = next.take() {
            let reply = client.get(url).send().await?.error_for_status()?;
            next = reply.headers().get("NextPageUri").and_then(|v| v.to_str().ok()).map(str::to_owned);
            blobs.extend(serde_json::from_slice::<Vec<Entry>>(&reply.bytes().await?)?);
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut downloads = JoinSet::new();
        let mut bytes = 0;
        for blob in blobs {
            let place = Arc::clone(&places).acquire_owned().await?;
            let (client, output) = (client.clone(), output.clone());
            downloads.spawn(async move {
                let _place = place;
                match output {
                    None => download(&client, &blob.content_uri, Counter(0)).await.map(|counter| counter.0),
                    Some(output) => {
                        let blob = download(&client, &blob.content_uri, Vec::new()).await?;
                        let lines = wanted_of(&blob);
                        output.lock().expect("nobody panics with it").write_all(&lines).expect("the disk takes the output");
                        Ok(blob.len() as u64)
                    }
                }
            });
            while let Some(done) = downloads.try_join_next() {
                bytes += done??;
            }
        }
        while let Some(done) = downloads.join_next().await {
            bytes += done??;
        }
        if let Some(output) = &output {
            output.lock().expect("nobody panics with it").flush()?;
        }
        Ok(bytes)
    })
}

/// Hands a blob over as it comes, after decompression.
async fn download<W: Write>(client: &reqwest::Client, url: &str, to: W) -> Result<W, reqwest::Error> {
    let mut reply = client.get(url).header("Accept-Encoding", "gzip").send().await?.error_for_status()?;
    if reply.headers().contains_key("content-encoding") {
        let mut inflate = MultiGzDecoder::new(to);
        while let Some(chunk) = reply.chunk().await? {
            inflate.write_all(&chunk).expect("the tenant compresses properly");
        }
        return Ok(inflate.finish().expect("the tenant compresses properly"));
    }
    let mut plain = to;
    while let Some(chunk) = reply.chunk().await? {
        plain.write_all(&chunk).expect("memory takes everything");
    }
    Ok(plain)
}

/// The wanted records of a blob, one a line.
fn wanted_of(blob: &[u8]) -> Vec<u8> {
    let records: Vec<&RawValue> = serde_json::from_slice(blob).expect("the tenant's blobs are JSON");
    let lines = records.into_iter().filter(|record| is_wanted(record)).flat_map(|record| [record.get(), "\n"]);
    lines.collect::<String>().into_bytes()
}

/// Counts what is written into it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
