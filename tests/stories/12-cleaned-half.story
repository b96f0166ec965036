# What is still there keeps the restriction, is named, and a second check releases.
given  account sakura, sites a.sakura.example.jp b.sakura.example.jp old.sakura.example.jp
Sun 1 Mar 2026 08:00
  > signal sakura deleted-exe, by a.sakura.example.jp, pids 5
    incident H-1 opened: deleted-exe
    impose   H-1/1 freeze-process sakura
    notice   H-1 restricted
Sun 1 Mar 20:00
  > owner sakura done
    verify   H-1
  > verdict sakura found /old/x.php
    not-verified H-1 /old/x.php
    notice   H-1 check-failed
Mon 2 Mar 09:10
  > owner sakura done
    verify   H-1
  > verdict sakura clean
    verified H-1
    release  H-1 owner
    lift     H-1/1 freeze-process sakura (ended)
