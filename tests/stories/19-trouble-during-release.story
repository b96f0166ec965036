# Trouble in a stage of the release puts the measure back; the next check begins anew.
given  account hinata, sites hinata.example.jp blog.hinata.example.jp
Sat 21 Mar 2026 11:46
  > signal hinata faked-name, by blog.hinata.example.jp, pids 31
    incident H-1 opened: faked-name
    impose   H-1/1 freeze-process hinata
    notice   H-1 restricted
  > signal hinata mass-mail
    joined   H-1 mass-mail
    impose   H-1/2 hold-mail hinata
    impose   H-1/3 close-site blog.hinata.example.jp
    notice   H-1 added
Sat 21 Mar 13:00
  > owner hinata done
    verify   H-1
  > verdict hinata clean
    verified H-1
    release  H-1 owner
    lift     H-1/1 freeze-process hinata (ended)
Sat 21 Mar 13:10
    release  H-1 public
    lift     H-1/3 close-site blog.hinata.example.jp
Sat 21 Mar 13:15
  > signal hinata faked-name, by blog.hinata.example.jp, pids 55
    joined   H-1 faked-name
    impose   H-1/4 freeze-process hinata
    notice   H-1 added
Sat 21 Mar 13:30
