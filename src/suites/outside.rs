// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every queue that is not in the matrix refuses every instruction alike; the suite `queues` asks all of them by TAPQ
//! and some of them by the others. Runs only where the command line names it, because it takes long. AP reference 2.3
//! and 9.5.

use super::queues;
use crate::ap::guest::Guest;
use crate::case::suite::cases;

cases!("outside" for Guest:
    /// RAPQ and ZAPQ of every queue outside of the matrix answer 01 with condition code 3.
    every_reset_refused: |guest| queues::refuses_resets(guest, 1),
    /// AQIC of every queue outside of the matrix answers 01 with condition code 3.
    every_aqic_refused: |guest| queues::refuses_aqic(guest, 1),
    /// NQAP and DQAP of every queue outside of the matrix answer 01 with condition code 3.
    every_message_refused: |guest| queues::refuses_messages(guest, 1),
);
