//! The bare client that `backfill` is measured beside: it lists the day, downloads every blob, and keeps nothing.

use std::io::Write;
use std::sync::Arc;

use flate2::write::MultiGzDecoder;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Blobs that it downloads at once.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    content_uri: String,
}

/// Downloads everything that the tenant lists; says how many bytes that was, after decompression.
pub(crate) fn run(base: &str) -> Result<u64, Box<dyn std::error::Error>> {
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
            let client = client.clone();
            downloads.spawn(async move {
                let _place = place;
                download(&client, &blob.content_uri).await
            });
            while let Some(done) = downloads.try_join_next() {
                bytes += done??;
            }
        }
        while let Some(done) = downloads.join_next().await {
            bytes += done??;
        }
        Ok(bytes)
    })
}

async fn download(client: &reqwest::Client, url: &str) -> Result<u64, reqwest::Error> {
    let mut reply = client.get(url).header("Accept-Encoding", "gzip").send().await?.error_for_status()?;
    let mut inflate = reply.headers().contains_key("content-encoding").then(|| MultiGzDecoder::new(Counter(0)));
    let mut plain = 0;
    while let Some(chunk) = reply.chunk().await? {
        match &mut inflate {
            Some(inflate) => inflate.write_all(&chunk).expect("the tenant compresses properly"),
            None => plain += chunk.len() as u64,
        }
    }
    Ok(inflate.map_or(plain, |mut inflate| {
        inflate.try_finish().expect("the tenant compresses properly");
        inflate.get_ref().0
    }))
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
