# The seed, ended differently: two incidents six weeks apart are never mixed up.
given  account hinata, sites hinata.example.jp shop.hinata.example.jp blog.hinata.example.jp
Sat 7 Feb 2026 13:26
  > signal hinata faked-name, pids 900
    incident H-1 opened: faked-name
    impose   H-1/1 freeze-process hinata
    notice   H-1 restricted
Sun 8 Feb 10:00
  > owner hinata done H-1
    verify   H-1
  > verdict hinata clean
    verified H-1
    release  H-1 owner
    lift     H-1/1 freeze-process hinata (ended)
Sun 8 Feb 10:10
    closed   H-1 by verification
    notice   H-1 released
Sat 21 Mar 11:46:53
  > signal hinata faked-name, by blog.hinata.example.jp, pids 31 32
    incident H-2 opened (relapse of H-1): faked-name
    impose   H-2/1 freeze-process hinata
    notice   H-2 relapse of H-1
  > signal hinata mass-mail
    joined   H-2 mass-mail
    impose   H-2/2 hold-mail hinata
    impose   H-2/3 close-site blog.hinata.example.jp
    notice   H-2 added
Sat 21 Mar 14:00
  > owner hinata asks «why are my sites 403? the February matter was solved»
    answer   H-2 (not H-1)
  > owner hinata asks H-1 «why 403?»
    answer   H-2 (not H-1)
  > owner hinata resend
    notice   H-2 resend 2
Sun 22 Mar 09:00
  > owner hinata done
    verify   H-2
  > verdict hinata clean
    verified H-2
    release  H-2 owner
    lift     H-2/1 freeze-process hinata (ended)
Sun 22 Mar 09:10
    release  H-2 public
    lift     H-2/3 close-site blog.hinata.example.jp
Sun 22 Mar 09:20
    release  H-2 mail
    lift     H-2/2 hold-mail hinata
    propose  H-2/4 page-operator held-mail-waits
Sun 22 Mar 09:30
    closed   H-2 by verification
    notice   H-2 released
Mon 4 May 10:00
    watch-ended H-1
    watch-ended H-2
