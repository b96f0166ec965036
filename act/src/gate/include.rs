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
/// because `rewrite … index.php last` in a location is no such redirect. Captures are named because `set $x $1`
/// encodes it anew (`two words.php` becomes `two%20words.php`; tried with 1.22). Not seen: other rewrites in locations,
/// and a SCRIPT_FILENAME that the vhost itself names; only the operator can write those. Few `if`, because each is a
/// whole location in memory.
const NGINX: &str = include_str!("nginx.conf");

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
const APACHE: &str = include_str!("apache.conf");
