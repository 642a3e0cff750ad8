// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bind and associate state of a queue for Secure Execution guests. AP reference 2.8 and 9.7.
//!
//! Without the facility every queue is usable from the start and nothing of this is reached.

use ap_arch::{BindState, CardMode, ResponseCode};

/// Bind state, who bound it, and an association under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// What the queue starts with and what unbinding leads to.
    initial: BindState,
    /// Whether a bound queue needs a secret as well.
    needs_secret: bool,
    state: BindState,
    owner: Option<u64>,
    association_due: Option<u64>,
}

impl Binding {
    /// A queue of a card in this mode, in a machine with or without the facility.
    pub(crate) const fn new(mode: CardMode, secure: bool) -> Self {
        let initial = match (secure, mode) {
            (false, _) => BindState::USABLE,
            (true, CardMode::Cca) => BindState::UNUSABLE,
            (true, CardMode::Accelerator | CardMode::Ep11) => BindState::UNBOUND,
        };
        let needs_secret = matches!(mode, CardMode::Ep11);
        Self { initial, needs_secret, state: initial, owner: None, association_due: None }
    }

    pub(crate) const fn state(&self) -> BindState {
        self.state
    }

    /// Back to the start.
    pub(crate) const fn unbind(&mut self) {
        self.state = self.initial;
        self.owner = None;
        self.association_due = None;
    }

    /// Why messages of this configuration are refused, if they are.
    pub(crate) fn refusal(&self, configuration: u64) -> Option<ResponseCode> {
        match self.state {
            BindState::UNBOUND | BindState::UNUSABLE => Some(ResponseCode::Q_NOT_BOUND),
            _ if self.is_foreign(configuration) => Some(ResponseCode::Q_BOUND_TO_ANOTHER),
            _ => None,
        }
    }

    fn is_foreign(&self, configuration: u64) -> bool {
        self.owner.is_some_and(|owner| owner != configuration)
    }

    /// BAPQ.
    pub(crate) fn bind(&mut self, configuration: u64) -> ResponseCode {
        if self.is_foreign(configuration) {
            return ResponseCode::Q_BOUND_TO_ANOTHER;
        }
        if self.state != BindState::UNBOUND {
            return ResponseCode::Q_BIND_ERROR;
        }
        self.state = if self.needs_secret { BindState::BOUND } else { BindState::USABLE };
        self.owner = Some(configuration);
        ResponseCode::NORMAL
    }

    /// AAPQ, done when `due` has come.
    pub(crate) fn associate(&mut self, configuration: u64, secret_exists: bool, empty: bool, due: u64) -> ResponseCode {
        if self.association_due.is_some() {
            ResponseCode::STATE_CHANGE_IN_PROGRESS
        } else if let Some(refusal) = self.refusal(configuration) {
            refusal
        } else if self.state != BindState::BOUND {
            ResponseCode::Q_NOT_AVAIL_FOR_ASSOC
        } else if !empty {
            ResponseCode::Q_NOT_EMPTY
        } else if !secret_exists {
            ResponseCode::INVALID_ASSOC_SECRET
        } else {
            self.association_due = Some(due);
            ResponseCode::NORMAL
        }
    }

    /// When the association under way ends.
    pub(crate) const fn due(&self) -> Option<u64> {
        self.association_due
    }

    pub(crate) fn advance(&mut self, now: u64) {
        if self.association_due.is_some_and(|due| due <= now) {
            self.association_due = None;
            self.state = BindState::USABLE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accelerator_is_usable_once_bound() {
        let mut binding = Binding::new(CardMode::Accelerator, true);
        assert_eq!(binding.state(), BindState::UNBOUND);
        assert_eq!(binding.refusal(1), Some(ResponseCode::Q_NOT_BOUND));
        assert_eq!(binding.bind(1), ResponseCode::NORMAL);
        assert_eq!((binding.state(), binding.refusal(1)), (BindState::USABLE, None));
        assert_eq!(binding.refusal(2), Some(ResponseCode::Q_BOUND_TO_ANOTHER));
        assert_eq!(binding.bind(2), ResponseCode::Q_BOUND_TO_ANOTHER);
        assert_eq!(binding.bind(1), ResponseCode::Q_BIND_ERROR);
        assert_eq!(binding.associate(1, true, true, 0), ResponseCode::Q_NOT_AVAIL_FOR_ASSOC);
        binding.unbind();
        assert_eq!(binding.state(), BindState::UNBOUND);
    }

    #[test]
    fn an_ep11_queue_needs_a_secret_as_well() {
        let mut binding = Binding::new(CardMode::Ep11, true);
        assert_eq!(binding.associate(1, true, true, 0), ResponseCode::Q_NOT_BOUND);
        assert_eq!(binding.bind(1), ResponseCode::NORMAL);
        assert_eq!(binding.state(), BindState::BOUND);
        assert_eq!(binding.associate(1, true, false, 9), ResponseCode::Q_NOT_EMPTY);
        assert_eq!(binding.associate(1, false, true, 9), ResponseCode::INVALID_ASSOC_SECRET);
        assert_eq!(binding.associate(1, true, true, 9), ResponseCode::NORMAL);
        assert_eq!(binding.associate(1, true, true, 9), ResponseCode::STATE_CHANGE_IN_PROGRESS);
        binding.advance(8);
        assert_eq!((binding.state(), binding.due()), (BindState::BOUND, Some(9)));
        binding.advance(9);
        assert_eq!((binding.state(), binding.due()), (BindState::USABLE, None));
    }

    #[test]
    fn a_cca_queue_cannot_be_used_and_without_the_facility_all_can() {
        let mut binding = Binding::new(CardMode::Cca, true);
        assert_eq!((binding.state(), binding.bind(1)), (BindState::UNUSABLE, ResponseCode::Q_BIND_ERROR));
        for mode in [CardMode::Accelerator, CardMode::Cca, CardMode::Ep11] {
            let binding = Binding::new(mode, false);
            assert_eq!((binding.state(), binding.refusal(1)), (BindState::USABLE, None));
        }
    }
}
