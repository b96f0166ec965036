//! Tells a driven intruder's script from everything else that is called directly.
//!
//! | what is seen | strength |
//! |---|---|
//! | an upload, within ten minutes the first answer of a script to the same source, three orders to it since, and a sign | conclusive, upload chain |
//! | the same after a request that only sends data, with two signs | conclusive, upload chain |
//! | the same to another source, with two signs | conclusive, upload chain |
//! | signing in, installing within four minutes, the component's own script driven by others, with three signs, one of them the sender's | conclusive, uploaded plugin |
//! | six different encoded orders to a script in a place for code or data, four points, and a proof | conclusive, driven script |
//! | the same, three points, or no proof | suspicious, driven script |
//! | six POSTs to a script in a folder for data, varied answers, two networks, and a proof | conclusive, driven script |
//! | the same without | suspicious, driven script |
//! | a script in a folder for data answers a POST, or direct orders in a known upload folder | suspicious, script in uploads |
//!
//! Signs of a chain: asked for in vain before; a folder for data; the sender probed; sender and first caller are one
//! address with two programs; the script lies beside the door in the same component; callers from two networks that
//! send nothing themselves; varied answers with callers from two networks. Signs of an uploaded plugin: its sender
//! calls the script at once; he loads no picture and no style as browsers do; he installs within half a minute; varied
//! answers; two callers. Points of a driven script: place (data or code 2, component or loose folder 1), even pace,
//! varied answers, one program in two networks.
//!
//! Callers, their pace, programs and parameters are strangers' own making: whoever wants a shop's callback blocked can
//! call it as an intruder would. So nothing is conclusive without a fact that no caller makes. For a chain: it was
//! asked for in vain before, it lies in a folder for data, or in the component that took the upload. For a driven
//! script (a proof): it was asked for in vain before; it is a file that programs only load, and its answers vary; it
//! lies among uploads sorted by year and month; or it lies in a folder for data and answered for the first time after
//! this site's scripts were all known for a week. «In vain» is without parameters, and in the words that the server has
//! for other names too: a program that says itself that there is no such picture is there.
//!
//! Nothing is said of a script to which pages lead, of a front door of a known program (unless it was missing before),
//! of crawlers, and of scripts whose answers are what the site says to everything. A payment callback, a calendar or
//! phone, a scheduled call with a key: they have no upload before them, or one answer, or one unchanging value.

use model::{Kind, Strength};

use super::known::{self, Place};
use super::proof::is_proven;
use super::request::Source;
use super::script::{Script, Way};
use super::site::Site;

/// Orders after which a chain is one.
const DRIVEN: u32 = 3;

/// What a script is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The mechanism.
    pub kind: Kind,
    /// How much it says.
    pub strength: Strength,
    /// Whether an administrator's session is in other hands.
    pub sessions: bool,
}

/// Judges one script of a site; none for everything harmless or unclear.
pub fn judge(site: &Site, path: &[u8], script: &Script) -> Option<Verdict> {
    if script.hits == 0 || script.referred * 4 > script.hits {
        return None;
    }
    if script.size_max > 0 && site.probes.is_nothing(script.size_min, script.size_max) {
        return None;
    }
    let place = known::place(path);
    if place == Place::Door && !script.missing_before {
        return None;
    }
    let sessions = matches!(&script.origin, Some(o) if o.way == Way::Install);
    let verdict = |kind, strength| Some(Verdict { kind, strength, sessions });
    if let Some((kind, strength)) = chain(site, script) {
        return verdict(kind, strength);
    }
    if let Some(strength) = orders(place, script).or_else(|| posts(place, script)) {
        let proven = is_proven(site, path, place, script);
        return verdict(Kind::DrivenScript, if proven { strength } else { strength.min(Strength::Suspicious) });
    }
    let asked = known::is_upload_tree(path) && script.asked >= 1 && script.size_max > 0;
    let few = script.sources.len() <= 8 && !script.many;
    match place == Place::Data && few && (script.posts >= 1 || asked) {
        true => verdict(Kind::UploadsScript, Strength::Suspicious),
        false => None,
    }
}

fn chain(site: &Site, script: &Script) -> Option<(Kind, Strength)> {
    let origin = script.origin.as_deref()?;
    if script.driven() < DRIVEN {
        return None;
    }
    let others = |source: &&Source| **source != origin.source && !site.has_sent(**source);
    let strangers = script.sources.iter().filter(others).count();
    let far = script.networks() >= 2 && strangers > 0;
    let mut signs = origin.signs;
    if origin.way == Way::Install {
        // A service that a new shop component talks to calls it too: it is told apart by what the sender did.
        signs += u32::from(script.is_varied()) + u32::from(strangers >= 2);
        let found = strangers >= 1 && origin.signs >= 1 && signs >= 3;
        return found.then_some((Kind::UploadedPlugin, Strength::Conclusive));
    }
    signs += u32::from(far) + u32::from(far && script.is_varied());
    let own = origin.source == script.first_source;
    let needed = if own && origin.way == Way::Upload { 1 } else { 2 };
    // Orders have answers: a script that says one and the same to everybody is more likely told than asked.
    let told = script.size_max == script.size_min && script.driven() > 5 && !script.missing_before;
    let strength = if origin.proven { Strength::Conclusive } else { Strength::Suspicious };
    (signs >= needed && !(told && signs <= needed)).then_some((Kind::UploadChain, strength))
}

/// Encoded orders in the address.
fn orders(place: Place, script: &Script) -> Option<Strength> {
    // One and the same answer to all of them: a service tells something, and is thanked.
    if !script.has_orders() || !script.is_handful() || script.size_min == script.size_max {
        return None;
    }
    let points = match place {
        Place::Data | Place::Code => 2,
        Place::Component | Place::Loose => 1,
        Place::Plain | Place::Door => 0,
    };
    let all = points + u32::from(script.is_regular()) + u32::from(script.is_varied()) + u32::from(script.is_spread());
    match all {
        4.. if points > 0 => Some(Strength::Conclusive),
        3.. => Some(Strength::Suspicious),
        _ => None,
    }
}

/// Orders that the log does not show.
fn posts(place: Place, script: &Script) -> Option<Strength> {
    let busy = script.posts >= 6 && script.is_handful() && script.is_varied() && script.networks() >= 2;
    match place {
        Place::Data if busy => Some(Strength::Conclusive),
        Place::Code if busy && script.is_spread() && script.is_regular() => Some(Strength::Suspicious),
        _ => None,
    }
}
