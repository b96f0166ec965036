<?php
function hk($word, $count = 0) { while (ob_get_level()) ob_end_clean(); echo "\nhikeshi $word $count\n"; exit(0); }
if (!is_file('wp-load.php')) hk('absent');
$_SERVER['HTTP_HOST'] = $_SERVER['SERVER_NAME'] = $argv[1];
$_SERVER['REQUEST_URI'] = '/';
define('SHORTINIT', true);
define('WP_INSTALLING', true);
ob_start();
require './wp-load.php';
if (empty($wpdb->usermeta)) hk('broken');
$count = $wpdb->query("DELETE FROM `{$wpdb->usermeta}` WHERE meta_key = 'session_tokens'");
if (function_exists('wp_cache_flush')) wp_cache_flush();
$count === false ? hk('broken') : hk('ended', $count);
