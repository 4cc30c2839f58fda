//! A front with TLS before a tenant: right, or wrong in the ways in which certificates and servers are.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::*;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::http2::{self, Streams};
use super::tenant::RUNTIME;
use super::{Host, Tenant};

/// The names under which the stories' servers are reached; the last one never resolves.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "feed.example.invalid"];

/// An issuer of certificates that nobody knows but the stories.
pub(crate) struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Two of one name would be taken for one, with a bad signature.
        let name: String = key.public_key_raw().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, name);
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// Its certificate as a file of a host's.
    pub(crate) fn file(&self, host: &Host) -> PathBuf {
        let text = BASE64_STANDARD.encode(self.certificate.der());
        host.write("authority.pem", format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))
    }

    /// A server with a good certificate.
    pub(crate) fn server(&self) -> Manner {
        self.server_with(|_| ())
    }

    /// A server with a certificate that is otherwise.
    pub(crate) fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Manner {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
        Manner::Tls(Arc::new(config.unwrap()))
    }
}

/// How a front treats those who come.
#[derive(Clone)]
pub(crate) enum Manner {
    /// TLS, and behind it the tenant over HTTP/1.1 or, where that is offered, HTTP/2.
    Tls(Arc<ServerConfig>),
    /// These bytes, once the first ones have come.
    Says(Vec<u8>),
    /// Nothing.
    Silent,
}

impl Manner {
    /// It speaks HTTP/2 with those who can.
    pub(crate) fn with_http2(self) -> Self {
        let Manner::Tls(config) = self else { panic!("without TLS nobody agrees on HTTP/2") };
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Manner::Tls(Arc::new(config))
    }
}

struct Shared {
    tenant: AtomicU16,
    manner: Mutex<Manner>,
    connections: AtomicUsize,
    streams: Arc<Streams>,
}

/// A front. It ends when it is dropped.
pub(crate) struct Front {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Front {
    /// A front that leads nowhere yet: the tenant has to know its address.
    pub(crate) fn new(manner: Manner) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tenant, connections, streams) = (AtomicU16::new(0), AtomicUsize::new(0), Arc::default());
        let shared = Arc::new(Shared { tenant, manner: Mutex::new(manner), connections, streams });
        let task = RUNTIME.spawn({
            let shared = shared.clone();
            async move {
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(stream, shared.clone()));
                }
            }
        });
        Self { port, shared, task }
    }

    /// Its address, by that name.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// It leads to that tenant from now on.
    pub(crate) fn leads_to(&self, tenant: &Tenant) {
        self.shared.tenant.store(tenant.port(), Ordering::SeqCst);
    }

    /// It is otherwise from now on.
    pub(crate) fn becomes(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// How many have come.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What comes over HTTP/2.
    pub(crate) fn streams(&self) -> &Streams {
        &self.shared.streams
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    let manner = shared.manner.lock().unwrap().clone();
    match manner {
        Manner::Tls(config) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2::serve(stream, shared.tenant.load(Ordering::SeqCst), shared.streams.clone()).await,
                _ => serve_bytes(stream, &shared).await,
            }
        }
        Manner::Says(bytes) => {
            let mut first = [0; 1024];
            if stream.read(&mut first).await.is_ok() {
                let _ = stream.write_all(&bytes).await;
                // The bytes would be lost with what is unread: a reset overtakes them.
                while tokio::time::timeout(Duration::from_secs(1), stream.read(&mut first))
                    .await
                    .is_ok_and(|n| n.is_ok_and(|n| n > 0))
                {}
            }
        }
        Manner::Silent => {
            let mut bytes = [0; 1024];
            while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
        }
    }
}

async fn serve_bytes(mut stream: TlsStream<TcpStream>, shared: &Shared) {
    let tenant = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.tenant.load(Ordering::SeqCst))).await;
    if let Ok(mut tenant) = tenant {
        let _ = copy_bidirectional(&mut stream, &mut tenant).await;
    }
}
