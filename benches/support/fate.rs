//! What becomes of the approvals of the year, and how often.

/// How it will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Open,
    Accepted,
    Unsure,
    Refused,
    /// Decided here, but somebody at AWS was first.
    Elsewhere(usize),
    Stale,
    Lapsed,
    /// Decided at AWS, nobody tried here.
    Outside(usize),
    Expired,
    Superseded,
}

impl Fate {
    /// Most things go well.
    pub fn draw(rng: &mut fastrand::Rng, arns: usize) -> Self {
        // The first decides most of what is decided outside, the last only when told to.
        let arn = if rng.f64() < 0.4 { 0 } else { rng.usize(1..arns - 1) };
        match rng.u32(..10_000) {
            0..7_750 => Self::Accepted,
            7_750..7_755 => Self::Unsure,
            7_755..7_800 => Self::Refused,
            7_800..7_920 => Self::Elsewhere(arn),
            7_920..7_980 => Self::Stale,
            7_980..8_000 => Self::Lapsed,
            8_000..9_700 => Self::Outside(arn),
            9_700..9_850 => Self::Expired,
            _ => Self::Superseded,
        }
    }

    /// The records it brings after it was opened.
    pub fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Open => &[],
            Self::Accepted => &["decision.intended", "decision.sent", "decision.accepted"],
            Self::Unsure => &["decision.intended", "decision.sent", "decision.unsure", "decision.accepted"],
            Self::Refused => &["decision.intended", "decision.sent", "decision.refused", "approval.closed"],
            Self::Elsewhere(_) => {
                &["decision.intended", "decision.sent", "decision.elsewhere", "approval.decided_elsewhere"]
            }
            Self::Stale => &["decision.intended", "decision.stale", "approval.closed"],
            Self::Lapsed => &["decision.intended", "decision.lapsed", "approval.closed"],
            Self::Outside(_) => &["approval.decided_elsewhere"],
            Self::Expired | Self::Superseded => &["approval.closed"],
        }
    }

    /// What its decision's row says at the end.
    pub fn state(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Elsewhere(_) => "elsewhere",
            Self::Stale => "stale",
            Self::Lapsed => "lapsed",
            _ => "accepted",
        }
    }
}
