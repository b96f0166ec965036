# Without an open incident a question finds no restriction of ours, and nothing is demanded.
given  account ayame, sites ayame.example.jp
Sun 1 Mar 2026 07:00
  > owner ayame asks «my account is frozen, was I hacked?»
    unbound  ayame no restriction of ours
  > owner ayame done
  > owner ayame resend
