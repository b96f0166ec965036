# Over the budget nothing more is done without a person; he is called.
given  account kaede, sites kaede.example.jp
given  world hold-mail over budget
Tue 3 Mar 2026 01:00
  > signal kaede mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail kaede
    notice   H-1 restricted
    failed   H-1/1 budget
    withdrawn H-1
    propose  H-1/2 page-operator budget-used-up
