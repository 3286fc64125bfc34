//! How certain a rate of losses is.

/// The 95 % interval of a rate, after Wilson. The interval is also right for few events, and for none.
pub(crate) fn interval(events: u64, of: u64) -> (f64, f64) {
    /// The quantile of the normal distribution for 95 %.
    const Z: f64 = 1.959_964;
    if of == 0 {
        return (0.0, 1.0);
    }
    let (events, of) = (events as f64, of as f64);
    let rate = events / of;
    let middle = rate + Z * Z / (2.0 * of);
    let width = Z * (rate * (1.0 - rate) / of + Z * Z / (4.0 * of * of)).sqrt();
    let scale = 1.0 + Z * Z / of;
    let low = if events == 0.0 { 0.0 } else { (middle - width) / scale };
    (low.max(0.0), ((middle + width) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_for_few_events() {
        assert_eq!(interval(0, 0), (0.0, 1.0));
        let (low, high) = interval(0, 1000);
        assert!(low == 0.0 && (0.003..0.004).contains(&high), "{high}");
        let (low, high) = interval(5, 100);
        assert!((0.02..0.025).contains(&low) && (0.11..0.115).contains(&high), "{low} {high}");
        let (low, high) = interval(10, 10);
        assert!((0.7..0.75).contains(&low) && high > 0.999, "{low} {high}");
    }
}
