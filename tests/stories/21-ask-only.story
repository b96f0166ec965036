# One suspicion asks and stops nothing.
given  account tsubaki, sites tsubaki.example.jp
Sat 7 Mar 2026 02:30
  > signal tsubaki listening, suspicious, pids 8800
    incident H-1 opened: listening
    propose  H-1/1 ask-owner one-suspicion
Sat 7 Mar 02:40
  > signal tsubaki listening, suspicious, pids 8800
Sun 8 Mar 02:41
    closed   H-1 unverified
