# Load alone never stops anything, and the note about it ends by itself.
given  account ayame, sites ayame.example.jp
Sat 7 Mar 2026 03:00
  > signal ayame load-above-baseline, suspicious
    incident H-1 opened: load-above-baseline
Sat 7 Mar 03:30
  > signal ayame heavy-job, hint
    joined   H-1 heavy-job
Sun 8 Mar 03:31
    closed   H-1 unverified
