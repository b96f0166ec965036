# Observe says what it would do, tells no owner and stops nothing.
given  account hinata, sites hinata.example.jp blog.hinata.example.jp
given  mode observe
Sat 21 Mar 2026 11:46
  > signal hinata faked-name, by blog.hinata.example.jp, pids 31
    incident H-1 opened: faked-name
    propose  H-1/1 freeze-process hinata
  > signal hinata mass-mail
    joined   H-1 mass-mail
    propose  H-1/2 hold-mail hinata
    propose  H-1/3 close-site blog.hinata.example.jp
Sun 22 Mar 11:47
    closed   H-1 unverified
