//! A proxy as companies have them (`HTTPS_PROXY`), open or shut.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::relay::message;
use super::tenant::RUNTIME;

/// How it treats a request for a tunnel.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// A tunnel to that port of loopback, whatever was asked for.
    Open(u16),
    /// This answer, and the end.
    Says(&'static str),
    /// No answer.
    Silent,
}

/// A proxy. It ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    gate: Arc<Mutex<Gate>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy.
    pub(crate) fn new(gate: Gate) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (gate, asked) = (Arc::new(Mutex::new(gate)), Arc::new(Mutex::new(Vec::new())));
        let task = RUNTIME.spawn({
            let (gate, asked) = (gate.clone(), asked.clone());
            async move {
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.spawn(serve(stream, gate.clone(), asked.clone()));
                }
            }
        });
        Self { port, gate, asked, task }
    }

    /// Its address, as `HTTPS_PROXY` has it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// It is otherwise from now on.
    pub(crate) fn becomes(&self, gate: Gate) {
        *self.gate.lock().unwrap() = gate;
    }

    /// What it was asked, head by head.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, gate: Arc<Mutex<Gate>>, asked: Arc<Mutex<Vec<String>>>) {
    let Some(request) = message(&mut stream, &mut Vec::new()).await else { return };
    asked.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let gate = gate.lock().unwrap().clone();
    match gate {
        Gate::Open(port) => {
            let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            if stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
        }
        Gate::Says(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Gate::Silent => {
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        }
    }
}

/// A socket with the shortest queue there is, which never accepts: connections to it do not come about.
pub(crate) struct Hole {
    listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

impl Hole {
    /// A hole whose queue is full already.
    pub(crate) fn new() -> Self {
        let _inside = RUNTIME.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            assert!(queued.len() < 16, "the queue is never full");
            queued.push(stream);
        }
        Self { listener, _queued: queued }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}
