//! Strangers who call a site's own endpoint as intruders call theirs: it must go on answering.

use super::*;

/// Endpoints that others call, wherever programs keep them.
const ENDPOINTS: [&str; 14] = [
    "/wp-content/plugins/pay/ipn.php",
    "/wp-content/plugins/pay/includes/webhook.php",
    "/lib/callback.php",
    "/media/get.php",
    "/api/pay.php",
    "/images/image.php",
    "/modules/shop/download.php",
    "/files/download.php",
    "/includes/ajax.php",
    "/core/src/api.php",
    "/vendor/api.php",
    "/libs/thumb/resize.php",
    "/wp-content/uploads/tool/form.php",
    "/cache/image.php",
];

fn is_blocked(log_text: &str) -> bool {
    read("aoi", &log(log_text)).findings.iter().any(|f| f.signal.strength == Strength::Conclusive)
}

/// As intruders call: orders in the address, or those that no log shows.
fn driven(path: &str) -> [String; 2] {
    ["GET ?d={h}", "POST "].map(|how| {
        let (method, query) = how.split_once(' ').unwrap_or_default();
        format!(
            "100..107/30 203.0.113.5 {method} {path}{query} 200 500+{{n}}
             115..122/30 198.51.100.9 {method} {path}{query} 200 900+{{n}}"
        )
    })
}

#[test]
fn callers_alone_never_have_an_endpoint_closed() {
    for path in ENDPOINTS {
        for calls in driven(path) {
            assert!(!is_blocked(&calls), "{path}");
            // He asks for what the program does not have, and looks around, before he calls.
            let lost = format!("1 203.0.113.5 GET {path}?d=none 404 30\n2 203.0.113.5 GET {path}/x 404 30\n{calls}");
            assert!(!is_blocked(&lost), "{path}");
            let bare = format!("1 203.0.113.5 GET {path} 404 30\n2 203.0.113.5 GET /no.php 404 1200\n{calls}");
            assert!(!is_blocked(&bare), "{path}");
        }
    }
}

#[test]
fn a_form_that_takes_files_gives_a_stranger_no_way_in() {
    for path in ["/paypal/ipn.php", "/lib/callback.php", "/api/pay.php", "/modules/shop/download.php"] {
        let sends = format!(
            "1 203.0.113.5 GET /wp-content/plugins/x/readme.txt 404 900
             2 203.0.113.5 POST /contact/upload 200 90 - scanner/1
             {}",
            driven(path)[1]
        );
        assert!(!is_blocked(&sends), "{path}");
        // He pretends to sign in, and is led away from where components are installed.
        let pretends = format!(
            "1 203.0.113.5 POST /members/login/ 302 0
             3 203.0.113.5 POST /admin/modules/install 302 0
             5 203.0.113.5 POST {path} 200 40
             {}",
            driven(path)[1]
        );
        assert!(!is_blocked(&pretends), "{path}");
    }
}

#[test]
fn what_no_caller_can_make_proves_a_driven_script() {
    let proven = [
        // Files that are only loaded answer as they like.
        "/wp-content/plugins/forms/includes/class-q7-form.php",
        "/wp-content/themes/neat/inc/neat_helper.php",
        "/components/com_x/models/item.php",
        "/vendor/acme/mailer/src/run.php",
        "/app/lib/Acme/cache.php",
        "/wp-includes/ms-q.php",
        // Uploads that are sorted by month.
        "/wp-content/uploads/2025/03/form.php",
    ];
    for path in proven {
        let [calls, _] = driven(path);
        assert!(is_blocked(&calls), "{path}");
        // The same that says one thing to everybody does not.
        let same = calls.replace("00+{n}", "00").replace("900", "500");
        assert!(!is_blocked(&same), "{path}");
    }
    for path in ["/media/get.php", "/lib/callback.php", "/cache/image.php"] {
        let [calls, _] = driven(path);
        assert!(is_blocked(&format!("1 203.0.113.5 GET {path} 404 1190\n2 203.0.113.5 GET /no.php 404 1200\n{calls}")));
        // The naive twin: not there before, by the words of the program itself.
        assert!(!is_blocked(&format!("1 203.0.113.5 GET {path} 404 20\n2 203.0.113.5 GET /no.php 404 1200\n{calls}")));
    }
}

#[test]
fn a_script_among_data_that_is_new_after_a_week_is_news() {
    let path = "/wp-content/uploads/tool/form.php";
    let after = |first: &str| format!("{first} 198.51.100.3 GET /index.php?p=1 200 9000\n{}", driven(path)[1]);
    assert!(is_blocked(&after("-700000")), "eight days");
    assert!(!is_blocked(&after("-500000")), "six days");
    // An owner's form that people fill in since long is no news.
    let used = format!("-600000 198.51.100.3 POST {path} 200 90 https://aoi.example.jp/form\n{}", after("-700000"));
    assert!(!is_blocked(&used));
    // Nor is an endpoint that is rarely called, where programs lie.
    let rare = format!("-700000 198.51.100.3 GET /index.php?p=1 200 9000\n{}", driven("/lib/callback.php")[0]);
    assert!(!is_blocked(&rare));
}
