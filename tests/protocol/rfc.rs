//! The texts of RFC 867 and the bytes of RFC 868.

use daytime::protocol::{FormattedTime, Zone, rfc867, rfc868, rfc868_seconds};
use proptest::prelude::*;

use crate::common::MOMENT;

#[test]
fn a_line_of_rfc_867_has_its_first_syntax() {
    let zone = |name: &str| Zone::parse(name).unwrap();
    for (second, name, line) in [
        (MOMENT, "UTC", "Sunday, November 22, 2026 15:44:57-UTC"),
        (MOMENT, "-08:00", "Sunday, November 22, 2026 07:44:57--08"),
        (MOMENT, "+05:30", "Sunday, November 22, 2026 21:14:57-+05:30"),
        (MOMENT, "+09:00", "Monday, November 23, 2026 00:44:57-+09"),
        // A day of one digit.
        (1_793_491_200, "UTC", "Sunday, November 1, 2026 00:00:00-UTC"),
        (1_794_268_799, "UTC", "Monday, November 9, 2026 23:59:59-UTC"),
        (1_794_268_800, "UTC", "Tuesday, November 10, 2026 00:00:00-UTC"),
        // The ends of the range, and moments beyond them.
        (*FormattedTime::RANGE.start(), "UTC", "Monday, January 1, 0001 00:00:00-UTC"),
        (*FormattedTime::RANGE.end(), "UTC", "Thursday, December 30, 9999 22:00:00-UTC"),
        (i64::MIN, "UTC", "Monday, January 1, 0001 00:00:00-UTC"),
        (i64::MAX, "UTC", "Thursday, December 30, 9999 22:00:00-UTC"),
    ] {
        assert_eq!(rfc867(second, &zone(name)), format!("{line}\r\n"), "{second} {name}");
    }
}

#[test]
fn bytes_of_rfc_868_count_from_1900_and_wrap_around() {
    for (second, bytes) in [
        (MOMENT, 0xeead_8c79),
        // The table of RFC 868: 1970, 1976, 1980, 1983.
        (0, 2_208_988_800),
        (189_302_400, 2_398_291_200),
        (315_532_800, 2_524_521_600),
        (420_595_200, 2_629_584_000),
        // The first second, the second after, the second before, and 17 November 1858.
        (-2_208_988_800, 0),
        (-2_208_988_799, 1),
        (-2_208_988_801, u32::MAX),
        (-3_506_716_800, (-1_297_728_000_i32).cast_unsigned()),
        // 2036-02-07 06:28:15 UTC and after.
        (2_085_978_495, u32::MAX),
        (2_085_978_496, 0),
        (2_085_978_497, 1),
        // The second wrap-around.
        (2_085_978_495 + (1 << 32), u32::MAX),
        (2_085_978_496 + (1 << 32), 0),
    ] {
        assert_eq!(rfc868(second), u32::to_be_bytes(bytes), "{second}");
    }
    // The ends of i64 do not panic.
    for second in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        let _ = rfc868(second);
    }
}

/// 1968-01-20 03:14:08 UTC and 2104-02-26 09:42:23 UTC.
const PIVOT: std::ops::RangeInclusive<i64> = -61_505_152..=4_233_462_143;

#[test]
fn bytes_of_rfc_868_mean_a_time_about_2036() {
    assert_eq!(PIVOT.end() - PIVOT.start(), i64::from(u32::MAX));
    for (bytes, second) in [
        (0x8000_0000, *PIVOT.start()),
        (0x8000_0001, PIVOT.start() + 1),
        (2_208_988_800, 0),
        (u32::MAX, 2_085_978_495),
        (0, 2_085_978_496),
        (1, 2_085_978_497),
        (0x7fff_ffff, *PIVOT.end()),
    ] {
        assert_eq!(rfc868_seconds(bytes.to_be_bytes()), second, "{bytes:#x}");
        assert_eq!(rfc868(second), bytes.to_be_bytes(), "{second}");
    }
    // A moment beyond one end has the bytes of the other end.
    assert_eq!(rfc868_seconds(rfc868(PIVOT.start() - 1)), *PIVOT.end());
    assert_eq!(rfc868_seconds(rfc868(PIVOT.end() + 1)), *PIVOT.start());
    assert_eq!(rfc867(*PIVOT.start(), &Zone::UTC), "Saturday, January 20, 1968 03:14:08-UTC\r\n");
    assert_eq!(rfc867(*PIVOT.end(), &Zone::UTC), "Tuesday, February 26, 2104 09:42:23-UTC\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_time_about_2036_survives_a_round_trip_through_rfc_868(second in PIVOT) {
        prop_assert_eq!(rfc868_seconds(rfc868(second)), second);
    }

    #[test]
    fn any_four_bytes_of_rfc_868_survive_a_round_trip(bytes: [u8; 4]) {
        prop_assert!(PIVOT.contains(&rfc868_seconds(bytes)));
        prop_assert_eq!(rfc868(rfc868_seconds(bytes)), bytes);
    }
}
