//! Each mechanism with its variants, and what looks like it and is harmless. Times are seconds, see [`super::log`].

use super::*;

#[test]
fn a_script_that_came_by_an_upload_and_is_driven() {
    // A file manager's connector, driven from elsewhere.
    check(
        "0 203.0.113.21 POST /wp-content/plugins/files/lib/php/connector.php 200 1172 - python-requests/2
         4 203.0.113.21 GET /wp-content/plugins/files/lib/files/q.php 200 14 - python-requests/2
         100..110/60 198.51.100.{a} POST /wp-content/plugins/files/lib/files/q.php 200 300+{n}",
        "aoi UploadChain Conclusive: aoi.example.jp/wp-content/plugins/files/lib/files/q.php by POST /wp-content/plugins/files/lib/php/connector.php",
    );
    // Joomla: a component's upload, the shell below images, one address only, its form sends to itself.
    check(
        "0 203.0.113.21 POST /index.php?option=com_x&task=upload 303 0
         9 203.0.113.21 GET /images/stories/pic.php 200 9
         20..26/5 203.0.113.21 POST /images/stories/pic.php 200 900+{n} https://aoi.example.jp/images/stories/pic.php",
        "aoi UploadChain Conclusive: aoi.example.jp/images/stories/pic.php by POST /index.php",
    );
    // Asked for in vain, then a POST to a page, then it is there: no name tells anything.
    check(
        "0 203.0.113.21 GET /xr7.php 404 1200
         3 203.0.113.21 POST /rest/V1/guest/file 200 80
         5 203.0.113.21 GET /xr7.php 200 4
         9..15/30 203.0.113.{a} POST /xr7.php 200 100+{n}",
        "aoi UploadChain Conclusive: aoi.example.jp/xr7.php by POST /rest/V1/guest/file",
    );
    // WebDAV left open.
    check(
        "0 203.0.113.21 PUT /media/z.php 201 0
         9..15/30 203.0.113.21 GET /media/z.php?c=id&n={n} 200 100+{n}",
        "aoi UploadChain Conclusive: aoi.example.jp/media/z.php by PUT /media/z.php",
    );
}

#[test]
fn uploads_and_calls_that_belong_together_harmlessly() {
    // A program of the owner that sends files and then asks for their treatment.
    check(
        "0 203.0.113.21 POST /api/upload.php 200 40 - app/3
         2..9/5 203.0.113.21 POST /api/process.php 200 100+{n} - app/3",
        "",
    );
    // The media library, an office full of editors, their calls in the background.
    check(
        "0..9 203.0.113.4 POST /wp-admin/async-upload.php 200 900 https://aoi.example.jp/wp-admin/upload.php
         2..90 203.0.113.4 POST /wp-admin/admin-ajax.php 200 60+{n} https://aoi.example.jp/wp-admin/post.php
         3 203.0.113.4 GET /wp-admin/upload.php 200 50000 https://aoi.example.jp/wp-admin/",
        "",
    );
    // A customer sends a file with his order, the payment service tells of it, again and again.
    check(
        "0 203.0.113.4 POST /checkout/upload 200 30 https://aoi.example.jp/checkout/
         9..17/60 198.51.100.81 POST /paypal/ipn.php 200 0 - -",
        "",
    );
    // The same service called before the component was there.
    check(
        "0..3/20 198.51.100.81 POST /modules/pay/notify.php 404 900 - -
         90 203.0.113.4 POST /admin/modules/install 200 900 https://aoi.example.jp/admin/modules
         120..130/60 198.51.100.81 POST /modules/pay/notify.php 200 2 - -",
        "",
    );
    // A page shows pictures through a script.
    check(
        "0 203.0.113.4 POST /wp-admin/async-upload.php 200 900 https://aoi.example.jp/wp-admin/upload.php
         1..40 203.0.113.{a} GET /wp-content/uploads/thumb.php?src={h} 200 4000+{n} https://aoi.example.jp/",
        "",
    );
}

#[test]
fn a_component_uploaded_right_after_signing_in() {
    let story = |path: &str, install: &str, login: &str| {
        format!(
            "0 203.0.113.140 POST {login} 302 0 https://aoi.example.jp{login}
             2 203.0.113.140 GET /wp-admin/ 200 64021
             9 203.0.113.140 POST {install} 200 33120
             11 203.0.113.140 GET {path} 200 21
             60..70/60 198.51.100.{{a}} POST {path} 200 1500+{{n}} - Go-http-client/1.1"
        )
    };
    check(
        &story("/wp-content/plugins/seo-kq3/seo-kq3.php", "/wp-admin/update.php?action=upload-plugin", "/wp-login.php"),
        "aoi UploadedPlugin Conclusive: aoi.example.jp/wp-content/plugins/seo-kq3/seo-kq3.php +sessions by POST /wp-login.php",
    );
    check(
        &story("/wp-content/themes/neat/inc.php", "/wp-admin/update.php?action=upload-theme", "/members/login/"),
        "aoi UploadedPlugin Conclusive: aoi.example.jp/wp-content/themes/neat/inc.php +sessions by POST /members/login/",
    );
    check(
        &story(
            "/modules/mod_z/z.php",
            "/administrator/index.php?option=com_installer&view=install",
            "/administrator/index.php",
        ),
        "aoi UploadedPlugin Conclusive: aoi.example.jp/modules/mod_z/z.php +sessions by POST /administrator/index.php",
    );
    // The owner at his screen installs a shop's component, and its service calls it.
    check(
        "0 203.0.113.140 POST /wp-login.php 302 0 https://aoi.example.jp/wp-login.php
         2 203.0.113.140 GET /wp-admin/ 200 64021 https://aoi.example.jp/wp-login.php
         3..9 203.0.113.140 GET /wp-admin/css/s{n}.css 200 900 https://aoi.example.jp/wp-admin/
         70 203.0.113.140 POST /wp-admin/update.php?action=upload-plugin 200 33120 https://aoi.example.jp/wp-admin/plugin-install.php
         100..110/60 198.51.100.81 POST /wp-content/plugins/pay/notify.php 200 2 - -",
        "",
    );
}

#[test]
fn a_script_that_is_called_with_encoded_orders() {
    check(
        "0..11/1020 203.0.113.26 GET /wp-content/plugins/forms/includes/class-a-9xq.php?dw={h} 200 733+{n}
         500..511/1020 198.51.100.213 GET /wp-content/plugins/forms/includes/class-a-9xq.php?dw={h} 200 733+{n}",
        "aoi DrivenScript Conclusive: aoi.example.jp/wp-content/plugins/forms/includes/class-a-9xq.php",
    );
    check(
        "0..11/600 203.0.113.26 GET /libraries/src/Cache/ping.php?k={h}{h} 200 733+{n}",
        "aoi DrivenScript Conclusive: aoi.example.jp/libraries/src/Cache/ping.php",
    );
    check(
        "0..9/70 203.0.113.26 POST /wp-content/uploads/2025/11/f.php 200 73+{n}
         5..14/70 198.51.100.7 POST /wp-content/uploads/2025/11/f.php 200 99+{n}",
        "aoi DrivenScript Conclusive: aoi.example.jp/wp-content/uploads/2025/11/f.php",
    );
    // One program from one place, in no wrong folder: an interface.
    check("0..40/300 203.0.113.26 GET /api/sync.php?since={h} 200 733+{n} - app/3", "");
    // A scheduled call with its key.
    check("0..40/300 203.0.113.26 GET /modules/x/cron.php?key=0a1b2c3d4e5f60718293a4b5 200 2 - curl/8", "");
    // Links of a newsletter, each reader once.
    check("0..40/30 203.0.113.{n} GET /modules/news/click.php?u={h} 200 733+{n}", "");
    // A mail scanner opens all of them; the answer is one picture.
    check("0..40/30 203.0.113.8 GET /modules/news/open.php?u={h} 200 43", "");
    // A search engine walks through the pictures.
    check(
        "0..40/30 66.249.66.{a} GET /modules/gallery/thumb.php?src={h} 200 733+{n} - Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "",
    );
    // A payment service with a pool of addresses and one answer.
    check("0..20/45 198.51.{a}.81 POST /wp-content/plugins/pay/lib/notify.php?t={h} 200 2 - -", "");
}

#[test]
fn a_script_in_a_folder_for_uploads_asks_for_a_look() {
    let found = "aoi UploadsScript Suspicious: aoi.example.jp";
    check(
        "0..1/9000 203.0.113.180 POST /wp-content/uploads/2026/02/cache.php 200 31",
        &format!("{found}/wp-content/uploads/2026/02/cache.php"),
    );
    check(
        "0..1/9000 203.0.113.180 POST /sites/default/files/a.php 200 31",
        &format!("{found}/sites/default/files/a.php"),
    );
    check(
        "0..1/9000 203.0.113.180 GET /upload/save_image/x.php?c=ls 200 31",
        &format!("{found}/upload/save_image/x.php"),
    );
    check("0..1/9000 203.0.113.180 POST /a/.cache/x%2Ephp 200 31", &format!("{found}/a/.cache/x.php"));
    // An empty index that keeps a folder closed; what is not there; what asks elsewhere; a script with its page.
    check("0..9/60 203.0.113.{a} GET /wp-content/uploads/index.php 200 0", "");
    check("0..9/60 203.0.113.{a} POST /wp-content/uploads/a.php 403 199", "");
    check("0..9/60 203.0.113.{a} POST /wp-content/uploads/a.php 302 0", "");
    check("0..9/60 203.0.113.{a} POST /upload/send.php 200 31 https://aoi.example.jp/form.html", "");
    check("0..9/60 203.0.113.{a} GET /wp-content/uploads/2026/02/photo.jpg?x=1 200 80000", "");
    check("0..9/60 192.0.2.10 POST /wp-content/uploads/2026/02/cache.php 200 31", "");
}

#[test]
fn probing_says_nothing_about_the_account() {
    check("0..24/7 203.0.113.{a} GET /w{n}.php 404 1210", "- Probing Hint");
    check("0..24/7 203.0.113.{a} GET /wp-content/uploads/w{n}.php 403 1210", "- Probing Hint");
    check("0..9/1 203.0.113.7 GET /up{n}/.env 404 10", "- Probing Hint");
    // The site answers everything alike, also in folders for uploads.
    check("0..9 203.0.113.50 GET /c{n}shell.php 200 5120 - scanner/1.0", "- Probing Hint");
    check("0..9 203.0.113.50 GET /wp-content/uploads/c{n}.php?x=1 200 5120 - scanner/1.0", "- Probing Hint");
    // But a shell among them answers as it likes.
    check(
        "0..9 203.0.113.50 GET /c{n}shell.php 200 5120
         20..30/60 203.0.113.{a} POST /tmp/c3shell.php 200 50+{n}",
        "aoi UploadsScript Suspicious: aoi.example.jp/tmp/c3shell.php\n- Probing Hint",
    );
    // Visitors follow dead links of a page.
    check("0..24/7 203.0.113.{a} GET /w{n}.php 404 1210 https://aoi.example.jp/", "");
    // A phone removes what is gone already; dead pictures.
    check("0..40 203.0.113.5 DELETE /remote.php/webdav/b{n} 404 41", "");
    check("0..40 203.0.113.5 GET /img/{n}.png 404 41", "");
}

#[test]
fn guessing_a_password_and_getting_in() {
    let four = "203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4";
    check("0..59 203.0.113.{a} POST /wp-login.php 200 4311", &format!("aoi SiteGuessing Suspicious: {four}"));
    check("0..59 203.0.113.{a} POST /xmlrpc.php 200 403", &format!("aoi SiteGuessing Suspicious: {four}"));
    check("0..59 203.0.113.{a} POST /user/login 403 900", &format!("aoi SiteGuessing Suspicious: {four}"));
    check(
        "0..59 203.0.113.{a} POST /admin/login_check 302 0",
        "aoi SiteGuessing Suspicious: 203.0.113.2 203.0.113.3 203.0.113.4 203.0.113.1",
    );
    check(
        "0..59 203.0.113.9 POST /wp-login.php 200 4311
         61 203.0.113.9 POST /wp-login.php 302 0
         62..64 203.0.113.9 GET /wp-admin/ 200 60000",
        "aoi GuessedSiteLogin Conclusive: aoi.example.jp/ +sessions by POST /wp-login.php",
    );
    check(
        "0..40 203.0.113.{a} POST /user/login 200 4311
         61 203.0.113.2 POST /user/login 303 0
         62..64 203.0.113.2 GET /admin/content 200 60000",
        "aoi GuessedSiteLogin Conclusive: aoi.example.jp/ +sessions by POST /user/login",
    );
    check(
        "0..40/2 203.0.113.9 POST /administrator/index.php 303 0
         90 203.0.113.9 POST /administrator/index.php 303 0
         91..93 203.0.113.9 GET /administrator/index.php?option=com_content&x={n} 200 60000",
        "aoi GuessedSiteLogin Suspicious: aoi.example.jp/ +sessions by POST /administrator/index.php",
    );
    // The owner does not remember, and later he does.
    check(
        "0..5/9 203.0.113.9 POST /wp-login.php 200 4311 https://aoi.example.jp/wp-login.php
         61 203.0.113.9 POST /wp-login.php 302 0 https://aoi.example.jp/wp-login.php
         62..64 203.0.113.9 GET /wp-admin/ 200 60000 https://aoi.example.jp/wp-login.php",
        "",
    );
    // The owner comes in while strangers guess; he is not slowed down.
    check(
        "0..59 203.0.113.{a} POST /wp-login.php 200 4311
         20 198.51.100.3 GET /wp-login.php 200 4311
         21 198.51.100.3 POST /wp-login.php 200 4311 https://aoi.example.jp/wp-login.php
         24 198.51.100.3 POST /wp-login.php 302 0 https://aoi.example.jp/wp-login.php
         25..27 198.51.100.3 GET /wp-admin/ 200 60000 https://aoi.example.jp/wp-login.php",
        &format!("aoi SiteGuessing Suspicious: {four}"),
    );
    // Staff in the morning behind one address; an editor by XML-RPC; a calendar with its first refusal; old passwords.
    check(
        "0..30/9 203.0.113.9 POST /wp-login.php 302 0 https://aoi.example.jp/wp-login.php
         1..7/40 203.0.113.9 POST /wp-login.php 200 4311 https://aoi.example.jp/wp-login.php",
        "",
    );
    // Members sign in all day, each once or twice.
    check("0..90/5 203.0.113.{n} POST /members/login 302 0 https://aoi.example.jp/members/login", "");
    check("0..60/5 203.0.113.9 POST /xmlrpc.php 200 400+{n}{n}", "");
    check("0..60/5 203.0.113.9 GET /dav/cal/ 401 400", "");
    check("0..20/60 203.0.113.9 POST /xmlrpc.php 200 403", "");
    check("0..60/5 203.0.113.9 POST /api/login 200 400 - app/1", "aoi SiteGuessing Suspicious: 203.0.113.9");
}

#[test]
fn crawling_is_slowed_down_and_people_are_not() {
    let bot = "- Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; AnyBot/1.2)";
    check(
        &format!(
            "0..50 203.0.113.{{a}} GET /books/{{n}}/ 200 18000 {bot}\n0..5/9 203.0.113.1 GET /b/{{n}} 503 0 {bot}"
        ),
        "aoi Crawling Suspicious: 203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4",
    );
    check(
        "0..119 203.0.113.1 GET /list?page={n} 200 18000\n0..119 203.0.113.1 GET /l?page={n} 503 1",
        "aoi Crawling Suspicious: 203.0.113.1",
    );
    // Search engines, calm crawlers, an office, a monitor, a page that asks again and again, servers of a federation.
    check("0..119 66.249.66.{a} GET /list?page={n} 503 18000 - Mozilla/5.0 (compatible; Googlebot/2.1)", "");
    check(&format!("0..59/2 203.0.113.{{a}} GET /books/{{n}}/ 200 18000 {bot}"), "");
    check(
        "0..119 203.0.113.1 GET /list?page={n} 503 1 https://aoi.example.jp/\n0..119 203.0.113.1 GET /a{n}.css 200 1 https://aoi.example.jp/",
        "",
    );
    check("0..59/60 203.0.113.{a} HEAD / 200 0 - UptimeMonitor/2.0", "");
    check("0..119 203.0.113.1 GET /chat/poll 503 18 https://aoi.example.jp/chat", "");
    check("0..119 203.0.113.{n} POST /inbox 202 0 - http.rb/5 (Mastodon/4; +https://m.example/)", "");
    check("0..119 192.0.2.10 GET /list?page={n} 503 18000", "");
}
