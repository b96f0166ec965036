//! Draws events from a seed: every fact, with the edges of every value, the same again for the same seed.

use std::net::SocketAddr;

use model::*;

/// A seed's numbers (SplitMix64: small, and good enough to draw with).
pub struct Draw(pub u64);

impl Draw {
    /// How many facts there are (`words.rs` does not compile when one is missing here).
    pub const FACTS: usize = 33;

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    /// One of these.
    pub fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize].clone()
    }
    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| value(self))
    }
    fn some<T>(&mut self, value: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| value(self)).collect()
    }

    /// Any moment, the ends of time among them.
    pub fn moment(&mut self) -> Moment {
        match self.below(8) {
            0 => Moment(i64::MIN),
            1 => Moment(i64::MAX),
            2 => Moment::EPOCH,
            _ => Moment(self.next() as i64 >> 12),
        }
    }
    /// Bytes' hash.
    pub fn hash(&mut self) -> Hash {
        Hash::of(&self.next().to_le_bytes())
    }
    /// One of a few accounts, so that they have histories.
    pub fn account(&mut self) -> AccountRef {
        let name = self.of(&["alice", "bob", "c-4.d_E", "0", "_"]);
        AccountRef {
            name: name.parse().unwrap(),
            uid: self.of(&[0, 1001, u32::MAX]),
            generation: self.of(&[1, 2, u32::MAX]),
        }
    }
    /// Any number of the days that numbers can name.
    pub fn number(&mut self) -> Number {
        Number::new(Moment::from_secs(self.below(4_000_000_000) as i64), self.below(u64::from(Number::PER_DAY)) as u16)
    }
    /// Text with everything that quoting can break.
    pub fn text(&mut self) -> String {
        let pieces = ["", "a", "'", "\"", "\\", "\0", "\u{1}", "\n", "山田", "\u{202e}", "😀", "%", "{", "]", "\u{7f}"];
        (0..self.below(9)).map(|_| self.of(&pieces)).collect()
    }
    /// A host name.
    pub fn domain(&mut self) -> Domain {
        self.of(&["blog.example.jp", "*.example.jp", "xn--wgv71a.jp", "0"]).parse().unwrap()
    }
    fn restriction_id(&mut self) -> RestrictionId {
        RestrictionId { incident: self.number(), ordinal: self.of(&[0, 1, u16::MAX]) }
    }
    fn notice_id(&mut self) -> NoticeId {
        NoticeId { incident: self.number(), ordinal: self.of(&[0, 1, u16::MAX]) }
    }
    fn queue_id(&mut self) -> QueueId {
        self.of(&["4jZ3Dq58q9zB4B2", "9A1C42E5F7"]).parse().unwrap()
    }
    fn process(&mut self) -> ProcessRef {
        ProcessRef {
            pid: self.next() as u32,
            start_ticks: self.of(&[0, 77, u64::MAX]),
            uid: self.next() as u32,
            exe_dev: self.next(),
            exe_ino: self.next(),
        }
    }
    fn measure(&mut self) -> Measure {
        match self.below(6) {
            0 => Measure::AskOwner,
            1 => Measure::PageOperator,
            2 => Measure::HoldMail { scope: model::MailScope::Local, queued: self.some(Self::queue_id) },
            3 => Measure::FreezeProcess { processes: self.some(Self::process) },
            4 => Measure::CloseSite { site: self.domain() },
            _ => Measure::CloseAccount {
                sites: self.some(Self::domain),
                wide: self.of(&[Wide::ManySites, Wide::NotBoundToSites, Wide::Ordered]),
            },
        }
    }
    fn restriction(&mut self) -> Restriction {
        let why = Why { rule: self.text(), findings: self.some(Self::hash) };
        Restriction { id: self.restriction_id(), measure: self.measure(), since: self.moment(), why }
    }
    fn failure(&mut self) -> Failure {
        let make = self.of(&[Failure::Guard, Failure::Budget, Failure::Gone, Failure::NoEffect, Failure::Error]);
        make(self.text())
    }
    fn kind(&mut self) -> Kind {
        self.of(&[Kind::FakedName, Kind::Guard, Kind::LoadAboveBaseline, Kind::MassMail])
    }
    fn signal(&mut self) -> Signal {
        Signal {
            kind: self.kind(),
            also: self.some(Self::kind),
            strength: self.of(&[Strength::Hint, Strength::Suspicious, Strength::Conclusive]),
            account: self.account(),
            site: self.maybe(Self::domain),
            at: self.moment(),
            since: self.moment(),
            target: match self.below(3) {
                0 => Target::Nothing,
                1 => Target::Processes(self.some(Self::process)),
                _ => Target::LocalMail(self.some(Self::queue_id)),
            },
            fingerprint: self.hash(),
            evidence: self.hash(),
            forgeable: false,
        }
    }
    fn look(&mut self) -> Look {
        match self.below(3) {
            0 => Look::Rescan {
                incident: self.number(),
                since: self.moment(),
                restrictions: self.some(Self::restriction),
                captured: self.some(Self::hash),
            },
            1 => Look::Capture { restriction: self.restriction_id(), measure: self.measure() },
            _ => Look::Probe {
                restriction: self.restriction_id(),
                sites: self.some(Self::domain),
                path: None,
                closed: self.coin(),
            },
        }
    }
    fn checked(&mut self) -> Checked {
        let verdict = match self.below(4) {
            0 => Verdict::Clean { count: self.of(&[0, u64::MAX]) },
            1 => Verdict::Found { place: self.text() },
            2 => Verdict::OnYourWord,
            _ => Verdict::NotChecked { why: self.text() },
        };
        Checked { check: self.of(&[Check::Processes, Check::CapturedGone, Check::Entry]), at: self.moment(), verdict }
    }
    fn notice_kind(&mut self) -> NoticeKind {
        match self.below(8) {
            0 => NoticeKind::Restricted,
            1 => NoticeKind::Added,
            2 => NoticeKind::Answer { question: self.hash(), earlier: self.maybe(Self::number) },
            3 => NoticeKind::CheckFailed,
            4 => NoticeKind::Released,
            5 => NoticeKind::Relapse { earlier: self.number() },
            6 => NoticeKind::FalseAlarm,
            _ => NoticeKind::Resend { ordinal: self.next() as u16 },
        }
    }
    fn delivery(&mut self) -> Delivery {
        match self.below(4) {
            0 => Delivery::Accepted { addresses: self.next() as u16 },
            1 => Delivery::Waiting { why: self.text() },
            2 => Delivery::Withdrawn,
            _ => Delivery::Undeliverable { why: self.text() },
        }
    }
    /// A site with everything that it can have.
    pub fn site(&mut self) -> Site {
        let address: SocketAddr = self.of(&["127.0.0.1:80", "[::1]:443"]).parse().unwrap();
        Site {
            domain: self.domain(),
            aliases: self.some(Self::domain),
            root: self.text(),
            gates: vec![GateKey::Nginx(self.text()), GateKey::Apache(self.text())],
            probes: vec![ProbeTarget { address, tls: self.coin() }],
        }
    }

    /// Any fact of this place in the list, which begins again at its end.
    pub fn fact(&mut self, variant: usize) -> Fact {
        let incident = self.number();
        match variant % Draw::FACTS {
            0 => Fact::IncidentOpened {
                incident,
                trouble: self.of(&[Trouble::Intrusion, Trouble::Load]),
                relapse_of: self.maybe(Self::number),
                mode: self.of(&[Mode::Observe, Mode::Advise, Mode::Enforce]),
                policy: self.hash(),
            },
            1 => Fact::SignalJoined { incident, signal: self.signal() },
            2 => Fact::SignalIgnored { finding: self.hash(), kind: self.kind() },
            3 => Fact::RestrictionProposed { restriction: self.restriction() },
            4 => Fact::RestrictionOrdered { restriction: self.restriction(), by_person: self.coin() },
            5 => Fact::RestrictionImposed { id: self.restriction_id(), seen: self.text() },
            6 => Fact::RestrictionFailed { id: self.restriction_id(), why: self.failure() },
            7 => Fact::LiftOrdered { id: self.restriction_id(), measure: self.measure(), for_good: self.coin() },
            8 => Fact::RestrictionLifted { id: self.restriction_id(), seen: self.text() },
            9 => {
                Fact::PassOrdered { incident, sites: self.some(Self::domain), pass: self.hash(), until: self.moment() }
            }
            10 => Fact::PassSeen { incident, open: self.coin() },
            11 => Fact::LookOrdered { incident, look: self.look() },
            12 => Fact::LookSeen { incident, intent: IntentId(self.next()), captured: self.maybe(Self::hash) },
            13 => Fact::OwnerDone { incident },
            14 => Fact::OwnerCannot { incident },
            15 => Fact::VerificationPassed { incident, checked: self.some(Self::checked) },
            16 => Fact::VerificationFailed { incident, checked: self.some(Self::checked) },
            17 => Fact::StageEntered { incident, stage: self.of(&[Stage::Owner, Stage::Public, Stage::Mail]) },
            18 => Fact::NoticeOrdered { notice: self.notice_id(), kind: self.notice_kind() },
            19 => Fact::NoticeSeen { notice: self.notice_id(), delivery: self.delivery() },
            20 => Fact::QuestionBound { incident, question: self.hash(), quoted: self.maybe(Self::number) },
            21 => Fact::QuestionUnbound { question: self.hash(), quoted: self.maybe(Self::number) },
            22 => Fact::ObjectionRaised { incident, text: self.maybe(Self::hash), answer_by: self.moment() },
            23 => Fact::ObjectionDecided { incident, by: self.text(), reason: self.text() },
            24 => Fact::OperatorActed {
                incident: self.maybe(Self::number),
                by: self.text(),
                order: self.text(),
                reason: self.text(),
            },
            25 => Fact::FindingAllowed { finding: self.hash(), reason: self.text(), until: self.moment() },
            26 => Fact::IncidentClosed { incident, watch_until: self.moment(), verified: self.coin() },
            27 => Fact::IncidentDismissed { incident, by: self.text(), truth: self.text() },
            28 => Fact::WatchEnded { incident },
            29 => Fact::SitesSeen { sites: self.some(Self::site) },
            30 => Fact::OutcomeStale { intent: IntentId(self.next()) },
            31 => Fact::OperatorCalled { incident, delivery: self.delivery() },
            _ => Fact::NoticeWritten { notice: NoticeId { incident, ordinal: self.next() as u16 } },
        }
    }

    /// An event with the fact of this place.
    pub fn event(&mut self, variant: usize) -> Event {
        Event { at: self.moment(), account: self.account(), fact: self.fact(variant) }
    }
}
