# A heavy job that was taken for an intrusion: undone, apologised for, never again.
given  account ayame, sites ayame.example.jp
Sat 7 Mar 2026 03:00
  > signal ayame load-above-baseline, suspicious
    incident H-1 opened: load-above-baseline
  > signal ayame orphaned, suspicious, pids 40
    incident H-2 opened: orphaned
    propose  H-2/1 ask-owner one-suspicion
  > signal ayame load-above-baseline, suspicious
    joined   H-2 load-above-baseline
    impose   H-2/2 freeze-process ayame
    notice   H-2 restricted
Sat 7 Mar 09:00
  > operator dismiss H-2 «the nightly backup of the site»
    dismissed H-2
    lift     H-2/2 freeze-process ayame
    notice   H-2 false-alarm
Sun 8 Mar 02:00
  > signal ayame orphaned, suspicious, pids 41
    ignored  ayame orphaned
  > signal ayame orphaned, suspicious, pids 42
