//! The demo's web server: answers for every site as nginx with our gate would, from the same flag files.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// The sites of the demo: the first name of a server block and its greeting.
#[derive(Clone)]
pub struct Sites {
    /// Folder of the flag files, as `act` writes them for nginx.
    pub gate: PathBuf,
    /// Server names.
    pub names: Vec<String>,
}

/// Serves on a free port of loopback until the process ends; returns the address.
pub fn serve(port: std::net::TcpListener, sites: Sites) -> std::io::Result<SocketAddr> {
    let address = port.local_addr()?;
    port.set_nonblocking(true)?;
    std::thread::Builder::new().name("web".into()).spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime without options");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(port).expect("a bound listener");
            let app = Router::new().fallback(answer).with_state(sites);
            let _ = axum::serve(listener, app).await;
        });
    })?;
    Ok(address)
}

/// The gate first, as in a server block; then the site's page.
async fn answer(State(sites): State<Sites>, headers: HeaderMap) -> Response<Body> {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    let name = host.split(':').next().unwrap_or("");
    let Some(name) = sites.names.iter().find(|n| n.as_str() == name) else {
        return page(StatusCode::NOT_FOUND, "no such site here\n".into());
    };
    match std::fs::read_to_string(sites.gate.join("nginx").join(name)) {
        Ok(closed) => {
            let number = number_in(&closed);
            let mut response = page(StatusCode::FORBIDDEN, closed);
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if let Ok(number) = HeaderValue::from_str(&number) {
                headers.insert("x-hikeshi", number);
            }
            response
        }
        Err(_) => page(StatusCode::OK, format!("<!doctype html><title>{name}</title><h1>{name}</h1>")),
    }
}

fn page(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The incident number that the page shows.
fn number_in(page: &str) -> String {
    page.find("HK-").and_then(|at| page.get(at..at + 16)).unwrap_or_default().to_owned()
}
