# A review that finds for the owner: everything back, apology, and his program is never stopped again.
given  account tsubaki, sites tsubaki.example.jp
Thu 5 Mar 2026 10:00
  > signal tsubaki runs-from-uploads, by tsubaki.example.jp, pids 3
    incident H-1 opened: runs-from-uploads
    impose   H-1/1 freeze-process tsubaki
    notice   H-1 restricted
  > owner tsubaki objects «it is our own image worker»
    objection H-1
    propose  H-1/2 page-operator objection
Thu 5 Mar 11:00
  > operator dismiss H-1 «the owner's own image worker»
    dismissed H-1
    lift     H-1/1 freeze-process tsubaki
    notice   H-1 false-alarm
Fri 6 Mar 10:00
  > signal tsubaki runs-from-uploads, by tsubaki.example.jp, pids 9
    ignored  tsubaki runs-from-uploads
