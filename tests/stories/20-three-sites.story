# Three guilty sites close the whole account, with that reason; two do not.
given  account sakura, sites a.sakura.example.jp b.sakura.example.jp old.sakura.example.jp shop.sakura.example.jp
Sun 1 Mar 2026 08:00
  > signal sakura mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail sakura
    notice   H-1 restricted
  > signal sakura runs-from-uploads, by a.sakura.example.jp, pids 1
    joined   H-1 runs-from-uploads
    impose   H-1/2 freeze-process sakura
    impose   H-1/3 close-site a.sakura.example.jp
    notice   H-1 added
  > signal sakura runs-from-uploads, by b.sakura.example.jp, pids 2
    joined   H-1 runs-from-uploads
    impose   H-1/4 freeze-process sakura
    impose   H-1/5 close-site b.sakura.example.jp
    notice   H-1 added
  > signal sakura runs-from-uploads, by old.sakura.example.jp, pids 3
    joined   H-1 runs-from-uploads
    impose   H-1/6 freeze-process sakura
    impose   H-1/7 close-account sakura
    notice   H-1 added
