# The mail server is down for a day: the restriction holds, the letter waits and arrives once.
given  account kaede, sites kaede.example.jp
given  world smtp down for 24 h
Tue 3 Mar 2026 01:00
  > signal kaede mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail kaede
    notice   H-1 restricted
Tue 3 Mar 01:05
Tue 3 Mar 09:00
  > owner kaede asks «why is my mail held?»
    answer   H-1
Wed 4 Mar 02:00
Wed 4 Mar 03:00
  > owner kaede done
    verify   H-1
