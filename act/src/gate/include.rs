//! The include texts: one identical line in every vhost, `include /etc/hikeshi/nginx-gate.conf;` (nginx) or
//! `Include /etc/hikeshi/apache-gate.conf` (Apache), as the first line of the block.
//!
//! First, because nginx runs rewrite directives and Apache runs rewrite rules in the order in which they stand.

use std::path::Path;

/// Text of the nginx include for a `server` block. Error: a gate folder whose path has other characters than
/// letters, digits, `/ . _ -` (it is written into a configuration).
pub fn nginx_include(gate_dir: &Path) -> Result<String, String> {
    // Up to the end of the next component with a dot.
    Ok(NGINX.replace("DOT", r"[^.]*+\.[^/]*+").replace("GATE", plain(gate_dir)?))
}

/// Text of the Apache include for a `<VirtualHost>`. Needs mod_rewrite, mod_alias, mod_headers and
/// mod_authz_core. Error: as [`nginx_include`].
pub fn apache_include(gate_dir: &Path) -> Result<String, String> {
    Ok(APACHE.replace("GATE", plain(gate_dir)?))
}

fn plain(path: &Path) -> Result<&str, String> {
    let fits =
        |text: &&str| text.starts_with('/') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    let text = path.to_str().filter(fits);
    text.ok_or_else(|| format!("gate folder {}: use an absolute path of letters, digits and / . _ -", path.display()))
}

/// `$server_name` is the block's first name whatever the client says, `$uri` the decoded and normalised address. A closed request is rewritten into a location of
/// ours, whose 403 has an `error_page` of its own: one at server level would hide those that the vhost inherits from
/// `http`, and `return 403` there would catch the tenant's. The page is fetched by an internal redirect, which makes a
/// GET of a POST. Its addresses are not gated, or it could not be shown; they are internal, so nothing else passes by.
///
/// A blocked path stays blocked for who passes a closed site: it is planted code. nginx runs these lines again at each
/// internal redirect (`index`, `try_files`, `error_page`, X-Accel-Redirect), so those are seen. What follows a script
/// in the address (`/x.php/foo`) still runs it, so what is tested is the address up to its first, second and third
/// component with a dot. A blocked `index.php` of the root or of a folder in it also blocks what is no file there,
/// because `rewrite … index.php last` in a location is no such redirect. Captures are named because `set $x $1` takes
/// over the encoding of the client's address. Not seen: other rewrites in locations, and a SCRIPT_FILENAME that the
/// vhost itself names; only the operator can write those. Few `if`, because each is a whole location in memory.
const NGINX: &str = r#"# Hikeshi gate. First line of every server block. Written by `hikeshi setup`; changes are lost.
set $hk_gate "";
set $hk_token none;
set $hk_secure "";
if (-f "GATE/nginx/$server_name") { set $hk_gate 403; }
if (-f "GATE/nginx-503/$server_name") { set $hk_gate 503; }
if ($cookie_hkpass ~ "^([0-9a-f]{32})$") { set $hk_token $1; }
if (-f "GATE/pass/nginx/$server_name/.hikeshi-tok-$hk_token") { set $hk_gate ""; }
if (-f "GATE/pass/nginx/$server_name/.hikeshi-ip-$remote_addr") { set $hk_gate ""; }
if ($scheme = https) { set $hk_secure "; Secure"; }
set $hk_site $server_name;
set $hk_flags /dev/null;
set $hk_front /dev/null;
set $hk_file /dev/null;
set $hk_a ""; set $hk_b ""; set $hk_c ""; set $hk_d "";
if ($uri ~ "^/__hk/(page|page-503|pass|script)$") { set $hk_gate ""; set $hk_site .none; }
if (-d "GATE/script/nginx/$hk_site") { set $hk_flags "GATE/script/nginx/$hk_site"; set $hk_file $request_filename; }
if ($uri ~ "^(?=(?<hk_d>/++[^/]++(?=/))?)(?:(?<hk_a>DOT)(?<hk_b>/DOT)?(?<hk_c>/DOT)?)?") { set $hk_front $hk_flags; }
if (-f $hk_file) { set $hk_front /dev/null; }
if (-f "$hk_front/index.php/.hikeshi-403") { set $hk_gate blocked; set $hk_page "$hk_front/index.php"; }
if (-f "$hk_front$hk_d/index.php/.hikeshi-403") { set $hk_gate blocked; set $hk_page "$hk_front$hk_d/index.php"; }
if (-f "$hk_flags$hk_a/.hikeshi-403") { set $hk_gate blocked; set $hk_page "$hk_flags$hk_a"; }
if (-f "$hk_flags$hk_a$hk_b/.hikeshi-403") { set $hk_gate blocked; set $hk_page "$hk_flags$hk_a$hk_b"; }
if (-f "$hk_flags$hk_a$hk_b$hk_c/.hikeshi-403") { set $hk_gate blocked; set $hk_page "$hk_flags$hk_a$hk_b$hk_c"; }
if ($hk_gate) { rewrite ^ /__hk/$hk_gate last; }
location = /__hk/blocked { internal; allow all; auth_basic off; error_page 403 /__hk/script; return 403; }
location = /__hk/script {
    internal; allow all; auth_basic off; expires off; etag off; disable_symlinks off; types { }
    default_type "text/html; charset=utf-8"; alias "$hk_page/.hikeshi-403";
    add_header X-Hikeshi closed always; add_header Cache-Control no-store always; add_header Last-Modified "";
}
location = /__hk/403 { internal; allow all; auth_basic off; error_page 403 /__hk/page; return 403; }
location = /__hk/503 { internal; allow all; auth_basic off; error_page 503 /__hk/page-503; return 503; }
location = /__hk/page {
    internal; allow all; auth_basic off; expires off; etag off; disable_symlinks off; types { }
    default_type "text/html; charset=utf-8"; alias "GATE/nginx/$server_name";
    add_header X-Hikeshi closed always; add_header Cache-Control no-store always; add_header Last-Modified "";
}
location = /__hk/page-503 {
    internal; allow all; auth_basic off; expires off; etag off; disable_symlinks off; types { }
    default_type "text/html; charset=utf-8"; alias "GATE/nginx-503/$server_name";
    add_header X-Hikeshi closed always; add_header Cache-Control no-store always; add_header Last-Modified "";
    add_header Retry-After 3600 always;
}
location = /__hk/pass {
    allow all; auth_basic off; expires off; absolute_redirect off;
    if ($arg_t !~ "^[0-9a-f]{32}$") { return 404; }
    if (!-f "GATE/pass/nginx/$server_name/.hikeshi-tok-$arg_t") { return 404; }
    add_header Set-Cookie "hkpass=$arg_t; Path=/; HttpOnly; SameSite=Lax$hk_secure";
    add_header Cache-Control no-store always; add_header Referrer-Policy no-referrer always;
    return 302 /;
}
"#;

/// `%{DOCUMENT_ROOT}` is the vhost's constant (SERVER_NAME follows the Host header). A closed request becomes
/// `/__hk/closed`, which lies outside of the tenant's tree, so no `.htaccess` is read; its 403 has an
/// ErrorDocument of its own, so the tenant's 403s keep theirs. It is a rewrite rule, because a vhost's later
/// `<Location "/"> Require all granted` would undo a Require of ours. `[S=…]` steps over our rules only, so the
/// operator's own rules below work for passing owners as for everybody.
///
/// A blocked path is refused twice. The rules go before any `.htaccess`: by the address, then by the file that a
/// look-ahead says it becomes (path info, MultiViews, DirectoryIndex), which costs a sub-request on sites that have a
/// blocked path, and on no others. `<If>` asks again by the file, last of all sections and in each internal redirect
/// and sub-request (`RewriteRule … [END]`, FallbackResource, SSI). A `.htaccess` with an `<If>` of its own can undo
/// the second one, and so reach the script by [END] or an SSI `file`; whoever can write that can also copy the script.
const APACHE: &str = r#"# Hikeshi gate. First line of every <VirtualHost>. Written by `hikeshi setup`; changes are lost.
RewriteEngine On
RewriteCond "%{ENV:REDIRECT_STATUS}" "=403"
RewriteRule "^/__hk/page$" "GATE/apache%{DOCUMENT_ROOT}/.hikeshi-closed" [L]
RewriteCond "%{ENV:REDIRECT_STATUS}" "=503"
RewriteRule "^/__hk/page-503$" "GATE/apache%{DOCUMENT_ROOT}/.hikeshi-closed-503" [L]
RewriteCond "%{ENV:REDIRECT_STATUS}" "=403"
RewriteRule "^/__hk/script(?:/__hk/blocked)?(/.+)$" "GATE/script/apache$1/.hikeshi-403" [L]
RewriteCond "%{QUERY_STRING}" "(?:^|&)t=([0-9a-f]{32})(?:&|$)"
RewriteCond "GATE/pass/apache%{DOCUMENT_ROOT}/.hikeshi-tok-%1" -f
RewriteRule "^/__hk/pass$" "/?" [R=302,L,E=HK_SET:%1]
RewriteCond "GATE/apache%{DOCUMENT_ROOT}/.hikeshi-closed" !-f
RewriteCond "GATE/apache%{DOCUMENT_ROOT}/.hikeshi-closed-503" !-f
RewriteRule "^" "-" [S=4]
RewriteCond "GATE/pass/apache%{DOCUMENT_ROOT}/.hikeshi-ip-%{REMOTE_ADDR}" -f
RewriteRule "^" "-" [S=3]
RewriteCond "%{HTTP_COOKIE}" "(?:^|;\s*)hkpass=([0-9a-f]{32})(?:;|$)"
RewriteCond "GATE/pass/apache%{DOCUMENT_ROOT}/.hikeshi-tok-%1" -f
RewriteRule "^" "-" [S=2]
RewriteCond "GATE/apache%{DOCUMENT_ROOT}/.hikeshi-closed" -f
RewriteRule "^" "/__hk/closed" [PT,L]
RewriteRule "^" "/__hk/closed-503" [PT,L]
RewriteCond "GATE/script/apache%{DOCUMENT_ROOT}" !-d
RewriteRule "^" "-" [S=4]
RewriteCond "GATE/script/apache%{DOCUMENT_ROOT}%{REQUEST_URI}/.hikeshi-403" -f
RewriteRule "^" "/__hk/blocked%{DOCUMENT_ROOT}%{REQUEST_URI}" [PT,L]
RewriteCond "%{IS_SUBREQ}" "=false"
RewriteRule "^/(?!__hk/)" "-" [E=HK_FILE:%{LA-U:REQUEST_FILENAME}]
RewriteCond "%{IS_SUBREQ}" "=false"
RewriteCond "GATE/script/apache%{ENV:HK_FILE}/.hikeshi-403" -f
RewriteRule "^/(?!__hk/)" "/__hk/blocked%{ENV:HK_FILE}" [PT,L]
RewriteCond "%{IS_SUBREQ}" "=false"
RewriteCond "%{ENV:HK_FILE}" -d
RewriteCond "GATE/script/apache%{ENV:HK_FILE}/index.php/.hikeshi-403" -f
RewriteRule "^/(?!__hk/)" "/__hk/blocked%{ENV:HK_FILE}/index.php" [PT,L]
Alias "/__hk/closed" "GATE/none"
Alias "/__hk/closed-503" "GATE/none"
Alias "/__hk/blocked" "GATE/none"
Header always set Set-Cookie "hkpass=%{HK_SET}e; Path=/; HttpOnly; SameSite=Lax" "expr=%{REQUEST_URI} == '/__hk/pass' && -n reqenv('HK_SET') && %{HTTPS} != 'on'"
Header always set Set-Cookie "hkpass=%{HK_SET}e; Path=/; HttpOnly; SameSite=Lax; Secure" "expr=%{REQUEST_URI} == '/__hk/pass' && -n reqenv('HK_SET') && %{HTTPS} == 'on'"
Header always set Cache-Control no-store "expr=%{REQUEST_URI} == '/__hk/pass' && -n reqenv('HK_SET')"
<Location "/__hk/closed">
    Options FollowSymLinks
    ErrorDocument 403 /__hk/page
    RewriteEngine On
    RewriteRule "^" "-" [F]
</Location>
<Location "/__hk/closed-503">
    Require all granted
    Options FollowSymLinks
    ErrorDocument 503 /__hk/page-503
    RewriteEngine On
    RewriteRule "^" "-" [R=503,L]
</Location>
<Location "/__hk/blocked">
    Options FollowSymLinks
    ErrorDocument 403 "/__hk/script%{escape:%{REQUEST_URI}}"
    RewriteEngine On
    RewriteRule "^" "-" [F]
</Location>
<If "-f 'GATE/script/apache%{REQUEST_FILENAME}/.hikeshi-403'">
    Require all denied
    ErrorDocument 403 "/__hk/script%{escape:%{REQUEST_FILENAME}}"
    <IfModule mod_access_compat.c>
        Satisfy All
    </IfModule>
</If>
<LocationMatch "^/__hk/(page(-503)?$|script/)">
    Require all granted
    Header always set X-Hikeshi closed
    Header always set Cache-Control no-store
    Header unset Last-Modified
</LocationMatch>
<Location "/__hk/page-503">
    Header always set Retry-After 3600
</Location>
<Directory "GATE/apache">
    Require all granted
    AllowOverride None
    SetHandler default-handler
    ForceType "text/html; charset=utf-8"
    FileETag None
</Directory>
<Directory "GATE/script">
    Require all granted
    AllowOverride None
    SetHandler default-handler
    ForceType "text/html; charset=utf-8"
    FileETag None
</Directory>
"#;
