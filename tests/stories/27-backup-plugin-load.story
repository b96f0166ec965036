# Load by a backup plugin: noted, never stopped, and over by itself when it is normal again.
given  account ayame, sites ayame.example.jp
Sat 7 Mar 2026 03:00
  > signal ayame load-above-baseline, suspicious
    incident H-1 opened: load-above-baseline
  > signal ayame heavy-job, hint
    joined   H-1 heavy-job
Sat 7 Mar 09:00
  > owner ayame asks «which plugin is it?»
    answer   H-1
Sun 8 Mar 03:00
    closed   H-1 unverified
