# An objection stops escalation for the same finding and starts a human clock.
given  account tsubaki, sites tsubaki.example.jp
Thu 5 Mar 2026 10:00
  > signal tsubaki faked-name, pids 3
    incident H-1 opened: faked-name
    impose   H-1/1 freeze-process tsubaki
    notice   H-1 restricted
  > owner tsubaki was-me
    objection H-1
    propose  H-1/2 page-operator objection
Thu 5 Mar 10:05
  > signal tsubaki faked-name, pids 4
    joined   H-1 faked-name
Thu 5 Mar 14:01
    propose  H-1/3 page-operator objection-overdue
  > operator uphold H-1 «the program is a miner»
    upheld   H-1
