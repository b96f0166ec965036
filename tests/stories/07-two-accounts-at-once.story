# Two accounts in the same minute: two numbers, two measures, nothing crosses over.
given  account hinata, sites hinata.example.jp
given  account sakura, sites sakura.example.jp
Sat 21 Mar 2026 11:46
  > signal hinata mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail hinata
    notice   H-1 restricted
  > signal sakura deleted-exe, pids 77
    incident H-2 opened: deleted-exe
    impose   H-2/1 freeze-process sakura
    notice   H-2 restricted
  > owner sakura done
    verify   H-2
  > owner hinata asks «what is this?»
    answer   H-1
  > verdict sakura clean
    verified H-2
    release  H-2 owner
    lift     H-2/1 freeze-process sakura (ended)
