#!/bin/bash
# Test bed: three tenants on nginx + Apache + php-fpm + MariaDB/WordPress + Postfix -> smtp-sink, without Hikeshi.
#   up.sh install          packages only            up.sh up PREFIX       (re)start everything, idempotent
#   up.sh down PREFIX      stop what PREFIX started  up.sh purge PREFIX    down + remove tenants, PREFIX
# All daemons take their configuration, pid, log and spool under PREFIX. Loopback only. Needs root.
set -euo pipefail
CMD=${1:-}; P=${2:-}
TENANTS=(${HK_TENANTS:-hk1 hk2 hk3}); UID0=${HK_UID0:-20001}; PB=${HK_PORT_BASE:-18000}
NGX=$((PB+80)); APA=$((PB+81)); SMTP=$((PB+25)); SINK=$((PB+26))
PKGS="nginx-light apache2 php-fpm php-cli php-mysql php-xml php-mbstring php-gd
 postfix mariadb-server wordpress wordpress-theme-twentytwentythree
 curl procps pflogsumm cron openssh-server vsftpd dovecot-imapd nftables iproute2 strace acl e2fsprogs python3"
say() { echo "[testbed] $*"; }

install_pkgs() {
  local need=() p; for p in $PKGS; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || need+=("$p"); done
  [ ${#need[@]} -eq 0 ] && return 0
  export DEBIAN_FRONTEND=noninteractive; echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  local made=0; if [ ! -e /usr/sbin/policy-rc.d ]; then printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1; fi
  apt-get -o DPkg::Lock::Timeout=600 update -qq
  apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${need[@]}" >/dev/null
  [ $made = 1 ] && rm -f /usr/sbin/policy-rc.d
  say "installed: ${need[*]}"
}

# PID 1 here may not reap orphans: kill -0 is true for a zombie, so look at /proc/PID/exe instead
running() { [ -n "$(readlink "/proc/$1/exe" 2>/dev/null)" ]; }
alive() { [ -s "$1" ] && running "$(tr -d ' \n' < "$1")"; }
wait_for() { local i; for i in $(seq 150); do eval "$1" && return 0; sleep 0.1; done; say "timeout: $1"; return 1; }
stop_pid() { # pidfile signal
  alive "$1" || { rm -f "$1"; return 0; }
  local pid i; pid=$(tr -d ' \n' < "$1"); kill -"$2" "$pid" 2>/dev/null || true
  for i in $(seq 150); do running "$pid" || break; sleep 0.1; done
  if running "$pid"; then say "pid $pid did not stop, SIGKILL"; kill -9 "$pid" || true; fi
  rm -f "$1"
}
php_file() { printf '<?php %s\n' "$2" > "$1"; chown --reference="$(dirname "$1")" "$1"; }

tenants() {
  local i=0 t uid; for t in "${TENANTS[@]}"; do uid=$((UID0+i)); i=$((i+1))
    getent group "$t" >/dev/null || groupadd -g "$uid" "$t"
    id "$t" >/dev/null 2>&1 || useradd -u "$uid" -g "$t" -d "$P/home/$t" -M -s /bin/bash "$t"
    [ "$(getent passwd "$t" | cut -d: -f6)" = "$P/home/$t" ] || usermod -d "$P/home/$t" "$t"
    install -d -m 0711 -o "$t" -g "$t" "$P/home/$t"
    install -d -m 0755 -o "$t" -g "$t" "$P/home/$t/www" "$P/home/$t/www/site" "$P/home/$t/www/blog"
    install -d -m 0700 -o "$t" -g "$t" "$P/home/$t/tmp"
    php_file "$P/home/$t/www/site/index.php" 'echo "site of ", posix_getpwuid(posix_geteuid())["name"], " ", $_SERVER["HTTP_HOST"], "\n";'
    php_file "$P/home/$t/www/site/slow.php" 'usleep(1000 * (int)($_GET["ms"] ?? 3000)); echo "done\n";'
    php_file "$P/home/$t/www/site/mail.php" '$n = (int)($_GET["n"] ?? 1); $ok = 0; for ($i = 0; $i < $n; $i++)
  $ok += mail("u$i@sink.test", "test $i", "body $i\n", "From: info@{$_SERVER["HTTP_HOST"]}"); echo "sent $ok\n";'
  done
}

conf() {
  local t s; install -d -m 0755 "$P"/{etc,run,log,spool,etc/pools,etc/postfix} "$P/var"
  install -d -m 0700 -o postfix -g postfix "$P/var/postfix"
  # --- php-fpm: one master, one pool per tenant
  printf '%s\n' '[global]' "pid=$P/run/fpm.pid" "error_log=$P/log/fpm.log" process_control_timeout=10s daemonize=yes "include=$P/etc/pools/*.conf" > "$P/etc/php-fpm.conf"
  for t in "${TENANTS[@]}"; do cat > "$P/etc/pools/$t.conf" <<C
[$t]
user=$t
listen=$P/run/fpm-$t.sock
listen.owner=www-data
listen.mode=0600
pm=ondemand
pm.max_children=6
pm.status_path=/fpm-status
access.log=$P/log/fpm-access-$t.log
access.format="%{%Y-%m-%dT%H:%M:%S%z}T pool=%n pid=%p ip=%{REMOTE_ADDR}e host=%{HTTP_HOST}e %m \"%r%Q%q\" s=%s us=%{microseconds}d mem=%{bytes}M cpu=%{total}C f=%f"
slowlog=$P/log/fpm-slow-$t.log
request_slowlog_timeout=2s
php_admin_value[sendmail_path]=/usr/sbin/sendmail -C $P/etc/postfix -t -i
php_admin_flag[mail.add_x_header]=on
php_admin_value[mail.log]=$P/home/$t/tmp/php-mail.log
php_admin_value[upload_tmp_dir]=$P/home/$t/tmp
php_admin_value[session.save_path]=$P/home/$t/tmp
php_admin_value[error_log]=$P/home/$t/tmp/php-error.log
C
  done
  # --- nginx, as an operator has it before setup
  cat > "$P/etc/nginx.conf" <<C
worker_processes 2; pid $P/run/nginx.pid; error_log $P/log/nginx-error.log; user www-data; worker_shutdown_timeout 60s;
events { worker_connections 1024; }
http { include /etc/nginx/mime.types; default_type application/octet-stream; server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
 log_format hk '\$time_iso8601 \$remote_addr \$host \$status \$request_time "\$request"';
 access_log $P/log/nginx-access.log hk;
 include $P/etc/nginx-vhosts.conf; }
C
  : > "$P/etc/nginx-vhosts.conf"
  # --- Apache (event + proxy_fcgi)
  local M=/usr/lib/apache2/modules m
  { printf '%s\n' "ServerRoot /etc/apache2" "PidFile $P/run/apache.pid" "DefaultRuntimeDir $P/run" "ErrorLog $P/log/apache-error.log"
    for m in mpm_event authz_core authz_host dir mime alias env setenvif rewrite headers proxy proxy_fcgi; do echo "LoadModule ${m}_module $M/mod_$m.so"; done
    cat <<C
User www-data
Listen 127.0.0.1:$APA
ServerName localhost
TypesConfig /etc/mime.types
GracefulShutdownTimeout 60
LogFormat "%{%FT%T}t.%{msec_frac}t %a %V %>s %D \"%r\"" hk
CustomLog $P/log/apache-access.log hk
<Directory $P/home>
 AllowOverride All
 Options SymLinksIfOwnerMatch
</Directory>
IncludeOptional $P/etc/apache-vhosts.conf
C
  } > "$P/etc/apache.conf"
  : > "$P/etc/apache-vhosts.conf"; for t in "${TENANTS[@]}"; do for s in site blog; do
    local H="$s.$t.test" D="$P/home/$t/www/$s"
    cat >> "$P/etc/nginx-vhosts.conf" <<C
server { listen 127.0.0.1:$NGX; server_name $H; root $D; index index.php index.html; disable_symlinks if_not_owner from=$P/home/$t;
 location / { try_files \$uri \$uri/ /index.php?\$args; }
 location ~ \\.php\$ { try_files \$uri =404; include /etc/nginx/fastcgi_params; fastcgi_param HTTP_HOST \$host:\$server_port; fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name; fastcgi_pass unix:$P/run/fpm-$t.sock; } }
C
    cat >> "$P/etc/apache-vhosts.conf" <<C
<VirtualHost 127.0.0.1:$APA>
 ServerName $H
 DocumentRoot $D
 DirectoryIndex index.php index.html
 <FilesMatch "\\.php$">
  SetHandler "proxy:unix:$P/run/fpm-$t.sock|fcgi://$t/"
 </FilesMatch>
</VirtualHost>
C
  done; done
  # --- Postfix: own instance directory; the default main.cf must name it, or postdrop refuses non-root callers
  [ -s /etc/postfix/main.cf ] || printf 'compatibility_level=3.6\ninet_interfaces=loopback-only\nmydestination=\n' > /etc/postfix/main.cf
  local alt; alt=$(postconf -h alternate_config_directories)
  case " $alt " in *" $P/etc/postfix "*) ;; *) postconf -e "alternate_config_directories=$alt $P/etc/postfix" ;; esac
  cat > "$P/etc/postfix/main.cf" <<C
compatibility_level=3.6
inet_protocols=ipv4
queue_directory=$P/spool/postfix
data_directory=$P/var/postfix
maillog_file=$P/log/mail.log
maillog_file_prefixes=$P
multi_instance_name=postfix-hk
myhostname=web01.test
mydestination=
inet_interfaces=127.0.0.1
relayhost=[127.0.0.1]:$SINK
smtp_dns_support_level=disabled
enable_long_queue_ids=yes
header_checks=regexp:$P/etc/postfix/header_checks
C
  echo '/^X-PHP-Originating-Script:/ INFO' > "$P/etc/postfix/header_checks"
  sed -E "s/^smtp +inet .*/127.0.0.1:$SMTP inet n - n - - smtpd/; s/^(postlog +unix-dgram +n +- +)[yn]/\1n/; s/^([a-z0-9_-]+ +unix +[-yn] +[-yn] +)[-y]( )/\1n\2/" /usr/share/postfix/master.cf.dist > "$P/etc/postfix/master.cf"
  install -d -m 0755 "$P/spool/postfix"
}

start() {
  local t
  alive "$P/run/sink.pid" || { setsid smtp-sink -u nobody -c 127.0.0.1:$SINK 512 </dev/null >"$P/log/sink.log" 2>&1 & echo $! > "$P/run/sink.pid"; }
  local pf=start; postfix -c "$P/etc/postfix" status 2>/dev/null && pf=reload; postfix -c "$P/etc/postfix" $pf 2>/dev/null
  if ! alive "$P/run/mysqld.pid"; then
    if [ ! -d "$P/var/mysql/mysql" ]; then install -d -o mysql -g mysql -m 0700 "$P/var/mysql"
      mariadb-install-db --no-defaults --user=mysql --datadir="$P/var/mysql" --auth-root-authentication-method=socket --skip-test-db >"$P/log/mysql-install.log" 2>&1; fi
    install -d -o mysql -g mysql -m 0755 "$P/run/mysqld"
    setsid mariadbd --no-defaults --user=mysql --datadir="$P/var/mysql" --socket="$P/run/mysqld/s.sock" --skip-networking --pid-file="$P/run/mysqld/mysqld.pid" \
      --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=2 </dev/null >"$P/log/mysql.log" 2>&1 & echo $! > "$P/run/mysqld.pid"
  fi
  wait_for "mariadb --no-defaults -S $P/run/mysqld/s.sock -e 'select 1' >/dev/null 2>&1"
  if alive "$P/run/fpm.pid"; then kill -USR2 "$(cat "$P/run/fpm.pid")"; sleep 0.5; else php-fpm8.2 -y "$P/etc/php-fpm.conf"; fi
  if alive "$P/run/nginx.pid"; then nginx -q -c "$P/etc/nginx.conf" -e "$P/log/nginx-error.log" -s reload; else nginx -q -c "$P/etc/nginx.conf" -e "$P/log/nginx-error.log"; fi
  if alive "$P/run/apache.pid"; then apache2 -f "$P/etc/apache.conf" -k graceful; else apache2 -f "$P/etc/apache.conf" -k start; fi
  wait_for "curl -fsS -o /dev/null -H 'Host: site.${TENANTS[0]}.test' http://127.0.0.1:$APA/ 2>/dev/null"
  wait_for "curl -fsS -o /dev/null -H 'Host: site.${TENANTS[0]}.test' http://127.0.0.1:$NGX/ 2>/dev/null"
}

wordpress() { # a real WordPress, tenant-owned copy, for the first tenant's blog vhost
  local t=${TENANTS[0]} D; D="$P/home/$t/www/blog"
  [ -e "$D/wp-load.php" ] || { cp -rL /usr/share/wordpress/. "$D/" 2>/dev/null || true; rm -f "$D/wp-config.php"; }
  mariadb --no-defaults -S "$P/run/mysqld/s.sock" -e "CREATE DATABASE IF NOT EXISTS wp_$t CHARACTER SET utf8mb4;
    CREATE USER IF NOT EXISTS '$t'@'localhost' IDENTIFIED BY 'testpw'; GRANT ALL ON wp_$t.* TO '$t'@'localhost';"
  cat > "$D/wp-config.php" <<PHP
<?php
define('DB_NAME','wp_$t'); define('DB_USER','$t'); define('DB_PASSWORD','testpw'); define('DB_HOST','localhost:$P/run/mysqld/s.sock');
define('DB_CHARSET','utf8mb4'); define('DB_COLLATE','');
foreach (['AUTH_KEY','SECURE_AUTH_KEY','LOGGED_IN_KEY','NONCE_KEY','AUTH_SALT','SECURE_AUTH_SALT','LOGGED_IN_SALT','NONCE_SALT'] as \$k) define(\$k, hash('sha256', '$t'.\$k));
define('WP_HTTP_BLOCK_EXTERNAL', true); define('AUTOMATIC_UPDATER_DISABLED', true); define('DISABLE_WP_CRON', true);
define('WP_HOME','http://blog.$t.test:$NGX'); define('WP_SITEURL','http://blog.$t.test:$NGX');
\$table_prefix='wp_'; if (!defined('ABSPATH')) define('ABSPATH', __DIR__.'/'); require_once ABSPATH.'wp-settings.php';
PHP
  install -d -m 0755 "$D/wp-content/uploads"
  chown -R "$t:$t" "$D"; chmod 0640 "$D/wp-config.php"
  cat > "$P/etc/wp-install.php" <<'PHP'
<?php define('WP_INSTALLING', true); $_SERVER['HTTP_HOST'] = $argv[2]; $_SERVER['REQUEST_URI'] = '/'; $_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
require $argv[1].'/wp-load.php'; require ABSPATH.'wp-admin/includes/upgrade.php';
if (is_blog_installed()) { echo "already\n"; exit; }
$r = wp_install('Test blog', 'admin', 'admin@example.test', true, '', 'admin-pass-1'); echo "user_id={$r['user_id']}\n";
PHP
  setpriv --reuid="$t" --regid="$t" --clear-groups php -d sendmail_path="/usr/sbin/sendmail -C $P/etc/postfix -t -i" "$P/etc/wp-install.php" "$D" "blog.$t.test:$NGX"
}

down() {
  stop_pid "$P/run/nginx.pid" QUIT; stop_pid "$P/run/apache.pid" TERM; stop_pid "$P/run/fpm.pid" QUIT; stop_pid "$P/run/mysqld.pid" TERM
  [ -s "$P/etc/postfix/main.cf" ] && postfix -c "$P/etc/postfix" stop 2>/dev/null || true
  stop_pid "$P/run/sink.pid" TERM
}

case "$CMD" in
  install) install_pkgs ;;
  up) [ -n "$P" ] || { echo "usage: $0 up PREFIX"; exit 2; }
      mkdir -p "$P"; P=$(cd "$P" && pwd -P); chmod 0755 "$P"; install_pkgs; conf; tenants; start; wordpress
      say "up: nginx 127.0.0.1:$NGX apache 127.0.0.1:$APA postfix 127.0.0.1:$SMTP sink 127.0.0.1:$SINK mysql $P/run/mysqld/s.sock" ;;
  down) P=$(cd "$P" && pwd -P); down; say down ;;
  purge) P=$(cd "$P" && pwd -P); [ -d "$P/etc/pools" ] || { say "not a test bed: $P"; exit 2; }; down
      for t in "${TENANTS[@]}"; do userdel "$t" 2>/dev/null || true; groupdel "$t" 2>/dev/null || true; done
      postconf -e "alternate_config_directories=$(postconf -h alternate_config_directories | sed "s# *$P/etc/postfix##")"; rm -rf --one-file-system "$P"; say purged ;;
  *) sed -n 2,5p "$0"; exit 2 ;;
esac
