//! Constraints on contexts, and levels with categories.

use super::bits::Bits;

/// A sensitivity with categories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) sensitivity: u32,
    /// By value minus 1.
    pub(super) categories: Bits,
}

impl Level {
    fn dominates(&self, other: &Self) -> bool {
        self.sensitivity >= other.sensitivity && self.categories.is_superset_of(&other.categories)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: Level,
    pub(super) high: Level,
}

impl Range {
    pub(super) fn is_valid(&self) -> bool {
        self.high.dominates(&self.low)
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        other.low.dominates(&self.low) && self.high.dominates(&other.high)
    }
}

/// A context by the numbers of its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) user: u32,
    pub(super) role: u32,
    pub(super) kind: u32,
    pub(super) range: Range,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    User,
    Role,
    Kind,
    /// Which level of which context: low or high, of the source or the target.
    Levels(Side, Side),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    SourceLow,
    SourceHigh,
    TargetLow,
    TargetHigh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Dominates,
    DominatedBy,
    Incomparable,
}

/// A term in postfix order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Not,
    And,
    Or,
    Compare(Operand, Operator),
    Names {
        operand: Operand,
        operator: Operator,
        is_target: bool,
        names: Bits,
    },
    /// Of the third context of `validatetrans`.
    Third,
}

impl Term {
    pub(super) fn new(kind: u32, attribute: u32, operator: u32, names: Bits) -> Option<Self> {
        let operator = match operator {
            1 => Operator::Equal,
            2 => Operator::NotEqual,
            3 => Operator::Dominates,
            4 => Operator::DominatedBy,
            5 => Operator::Incomparable,
            _ if kind <= 3 => Operator::Equal,
            _ => return None,
        };
        Some(match kind {
            1 => Self::Not,
            2 => Self::And,
            3 => Self::Or,
            4 => Self::Compare(operand(attribute)?, operator),
            5 if attribute & 16 != 0 => Self::Third,
            5 => Self::Names {
                operand: operand(attribute & !8)?,
                operator,
                is_target: attribute & 8 != 0,
                names,
            },
            _ => return None,
        })
    }
}

fn operand(attribute: u32) -> Option<Operand> {
    use Side::{SourceHigh, SourceLow, TargetHigh, TargetLow};
    Some(match attribute {
        1 => Operand::User,
        2 => Operand::Role,
        4 => Operand::Kind,
        32 => Operand::Levels(SourceLow, TargetLow),
        64 => Operand::Levels(SourceLow, TargetHigh),
        128 => Operand::Levels(SourceHigh, TargetLow),
        256 => Operand::Levels(SourceHigh, TargetHigh),
        512 => Operand::Levels(SourceLow, SourceHigh),
        1024 => Operand::Levels(TargetLow, TargetHigh),
        _ => return None,
    })
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constraint {
    /// To which it applies, as bits.
    pub(super) permissions: u32,
    pub(super) expression: Vec<Term>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Valid,
    Invalid,
}

impl Constraint {
    /// Whether its terms leave exactly one value.
    pub(super) fn validity(&self) -> Validity {
        let mut depth = 0usize;
        for term in &self.expression {
            depth = match term {
                Term::Not if depth >= 1 => depth,
                Term::And | Term::Or if depth >= 2 => depth - 1,
                Term::Not | Term::And | Term::Or => return Validity::Invalid,
                _ => depth + 1,
            };
        }
        if depth == 1 {
            Validity::Valid
        } else {
            Validity::Invalid
        }
    }

    /// Whether it compares levels: `mlsconstrain`.
    pub(super) fn is_mls(&self) -> bool {
        let compares = |term: &Term| matches!(term, Term::Compare(Operand::Levels(..), _));
        self.expression.iter().any(compares)
    }

    /// Whether the pair of contexts satisfies it. `dominates` answers for roles.
    pub(super) fn is_met(
        &self,
        source: &Subject,
        target: &Subject,
        dominates: &dyn Fn(u32, u32) -> bool,
    ) -> bool {
        let mut stack: Vec<bool> = Vec::new();
        for term in &self.expression {
            let value = match term {
                Term::Not => stack.pop().is_none_or(|value| !value),
                Term::And => {
                    let (b, a) = (stack.pop(), stack.pop());
                    a == Some(true) && b == Some(true)
                }
                Term::Or => {
                    let (b, a) = (stack.pop(), stack.pop());
                    a == Some(true) || b == Some(true)
                }
                Term::Compare(operand, operator) => {
                    compare(*operand, *operator, source, target, dominates)
                }
                Term::Names {
                    operand,
                    operator,
                    is_target,
                    names,
                } => {
                    let of = if *is_target { target } else { source };
                    let value = match operand {
                        Operand::User => of.user,
                        Operand::Role => of.role,
                        _ => of.kind,
                    };
                    let has = names.has(value.wrapping_sub(1));
                    has == (*operator == Operator::Equal)
                }
                Term::Third => false,
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(false)
    }
}

fn compare(
    operand: Operand,
    operator: Operator,
    source: &Subject,
    target: &Subject,
    role_dominates: &dyn Fn(u32, u32) -> bool,
) -> bool {
    let decide = |is_equal: bool, over: bool, under: bool| match operator {
        Operator::Equal => is_equal,
        Operator::NotEqual => !is_equal,
        Operator::Dominates => over,
        Operator::DominatedBy => under,
        Operator::Incomparable => !over && !under,
    };
    match operand {
        Operand::User => decide(source.user == target.user, false, false),
        Operand::Kind => decide(source.kind == target.kind, false, false),
        Operand::Role => decide(
            source.role == target.role,
            role_dominates(source.role, target.role),
            role_dominates(target.role, source.role),
        ),
        Operand::Levels(a, b) => {
            let level = |side: Side| match side {
                Side::SourceLow => &source.range.low,
                Side::SourceHigh => &source.range.high,
                Side::TargetLow => &target.range.low,
                Side::TargetHigh => &target.range.high,
            };
            let (a, b) = (level(a), level(b));
            decide(a == b, a.dominates(b), b.dominates(a))
        }
    }
}
