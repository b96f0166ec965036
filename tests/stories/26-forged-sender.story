# Bounces of mail that somebody forged elsewhere: no incident, no measure, an honest answer.
given  account sakura, sites sakura.example.jp
Sat 7 Mar 2026 06:00
  > owner sakura asks «I get thousands of bounces, am I hacked?»
    unbound  sakura no restriction of ours
  > signal sakura mass-mail, hint
