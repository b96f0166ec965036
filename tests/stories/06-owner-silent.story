# An owner who says nothing is left alone: nothing is added, nothing is deleted, nothing opens.
given  account sakura, sites a.sakura.example.jp b.sakura.example.jp
Sun 1 Mar 2026 08:00
  > signal sakura faked-name, by a.sakura.example.jp, pids 5
    incident H-1 opened: faked-name
    impose   H-1/1 freeze-process sakura
    notice   H-1 restricted
Mon 2 Mar 08:00
Sun 8 Mar 08:00
Wed 8 Apr 08:00
  > owner sakura done
    verify   H-1
