//! The desk's answers to the core: one order in, one outcome out.

use std::collections::{BTreeSet, VecDeque};
use std::time::SystemTime;

use model::packet::{FromDesk, ToDesk};
use model::{Delivery, Hash, IntentId, Outcome, Seen};

use crate::mail::{self, Outgoing, Relay, Try};
use crate::probe;

/// Letters whose recipients are remembered between tries.
const REMEMBERED: usize = 1000;

/// The desk role without its loop.
pub struct Desk {
    relay: Relay,
    operator: Option<String>,
    taken: VecDeque<(String, BTreeSet<String>)>,
}

impl Desk {
    /// A desk that sends by this relay and pages this address.
    pub fn new(relay: Relay, operator: Option<String>) -> Desk {
        Desk { relay, operator, taken: VecDeque::new() }
    }
}

/// Carries out one order; takes as long as the relay or the sites take.
pub fn handle(desk: &mut Desk, order: ToDesk) -> FromDesk {
    match order {
        ToDesk::Send { intent, to, message_id, references, subject, text } => {
            let letter = Outgoing { message_id: &message_id, references: &references, subject: &subject, text: &text };
            told(intent, send(desk, &to, &letter))
        }
        ToDesk::Probe { intent, sites, path, incident, closed } => {
            probe::probe(intent, &sites, path.as_ref(), incident, closed)
        }
        ToDesk::Page { intent, subject, text } => {
            let Some(operator) = desk.operator.clone() else {
                return told(intent, Delivery::Undeliverable { why: "no operator address configured".to_owned() });
            };
            let id = page_id(desk, intent, &subject, &text);
            let letter = Outgoing { message_id: &id, references: &[], subject: &subject, text: &text };
            told(intent, send(desk, &[operator], &letter))
        }
    }
}

fn told(intent: IntentId, delivery: Delivery) -> Outcome {
    Outcome { intent, seen: Seen::Told(delivery) }
}

/// One message a recipient; who has it already does not get it again at the next try.
fn send(desk: &mut Desk, recipients: &[String], letter: &Outgoing) -> Delivery {
    let known = desk.taken.iter().position(|(id, _)| id == letter.message_id);
    let mut taken = known.and_then(|at| desk.taken.remove(at)).map(|(_, taken)| taken).unwrap_or_default();
    let mut tries = Vec::new();
    for to in recipients {
        let one = match taken.contains(to) {
            true => Try::Accepted,
            false => mail::send(&desk.relay, letter, to, SystemTime::now()),
        };
        if one == Try::Accepted {
            taken.insert(to.clone());
        }
        tries.push(one);
    }
    let delivery = mail::delivery(&tries);
    if matches!(delivery, Delivery::Waiting { .. }) && !taken.is_empty() {
        desk.taken.truncate(REMEMBERED - 1);
        desk.taken.push_front((letter.message_id.to_owned(), taken));
    }
    delivery
}

/// The same page has the same id at every try; another order or text has another.
fn page_id(desk: &Desk, intent: IntentId, subject: &str, text: &str) -> String {
    let hash = Hash::of_parts(&[&intent.0.to_le_bytes(), subject.as_bytes(), text.as_bytes()]).to_string();
    let domain = desk.relay.from.rsplit('@').next().unwrap_or("localhost");
    format!("page-{}@{domain}", &hash[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Mood, Sink};

    fn desk(sink: &Sink, operator: Option<&str>) -> Desk {
        let relay = Relay {
            host: sink.address().ip().to_string(),
            port: sink.address().port(),
            name: "Example Hosting".to_owned(),
            from: "desk@host.example".to_owned(),
        };
        Desk::new(relay, operator.map(str::to_owned))
    }

    fn order(to: &[&str]) -> ToDesk {
        ToDesk::Send {
            intent: IntentId(7),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            message_id: "hk.7@host.example".to_owned(),
            references: vec![],
            subject: "Stopped: 1 site HK-20260321-7K30".to_owned(),
            text: "x\n".to_owned(),
        }
    }

    #[test]
    fn every_recipient_gets_a_message_of_its_own() {
        let sink = Sink::open().unwrap();
        let outcome = handle(&mut desk(&sink, None), order(&["a@one.example", "b@two.example"]));
        assert_eq!(outcome, Outcome { intent: IntentId(7), seen: Seen::Told(Delivery::Accepted { addresses: 2 }) });
        let mails = sink.mails();
        assert_eq!(mails.iter().map(|mail| mail.to.join(",")).collect::<Vec<_>>(), ["a@one.example", "b@two.example"]);
        assert!(!String::from_utf8_lossy(&mails[0].raw).contains("two.example"));
    }

    #[test]
    fn who_has_a_letter_does_not_get_it_again_at_the_next_try() {
        let sink = Sink::open().unwrap();
        let mut desk = desk(&sink, None);
        sink.set_mood(Mood::AnswersFor("b@two.example".to_owned(), "451 later".to_owned()));
        let first = handle(&mut desk, order(&["a@one.example", "b@two.example"]));
        assert!(matches!(first.seen, Seen::Told(Delivery::Waiting { .. })), "{first:?}");
        sink.set_mood(Mood::Accepts);
        let second = handle(&mut desk, order(&["a@one.example", "b@two.example"]));
        assert_eq!(second.seen, Seen::Told(Delivery::Accepted { addresses: 2 }));
        let mails = sink.mails();
        assert_eq!(mails.iter().map(|mail| mail.to.join(",")).collect::<Vec<_>>(), ["a@one.example", "b@two.example"]);
    }

    #[test]
    fn a_page_goes_to_the_operator_or_says_that_there_is_none() {
        let sink = Sink::open().unwrap();
        let page = || ToDesk::Page { intent: IntentId(0), subject: "act is down".to_owned(), text: "x\n".to_owned() };
        let outcome = handle(&mut desk(&sink, Some("ops@host.example")), page());
        assert_eq!(outcome.seen, Seen::Told(Delivery::Accepted { addresses: 1 }));
        assert_eq!(sink.mails()[0].to, ["ops@host.example"]);
        let nobody = handle(&mut desk(&sink, None), page());
        assert!(matches!(nobody.seen, Seen::Told(Delivery::Undeliverable { .. })));
    }
}
