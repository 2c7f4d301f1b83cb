//! Where a client is on earth, and how far two of them are apart.
//!
//! Promises: what is no location on earth is nowhere: no coordinates, values out of range, and 0 N 0 E, which databases of
//! addresses say where they know nothing. Distances are whole kilometres, so that no machine's last bit decides.
//! Never: looks an address up.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::columns::column_of;

/// Mean radius of the earth (IUGG, R1).
const RADIUS_KM: f64 = 6371.0088;
/// Nothing is further away than its antipode.
pub(crate) const DISTANCE_KM_MAX: f64 = 20_016.0;

/// Degrees north and east; not a number where it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Location {
    pub lat: f32,
    pub lon: f32,
}

impl Location {
    const NOWHERE: Location = Location { lat: f32::NAN, lon: f32::NAN };

    fn at(lat: f32, lon: f32) -> Location {
        let is_on_earth = lat.abs() <= 90.0 && lon.abs() <= 180.0 && (lat != 0.0 || lon != 0.0);
        if is_on_earth { Location { lat, lon } } else { Location::NOWHERE }
    }

    #[inline]
    pub fn is_known(self) -> bool {
        !self.lat.is_nan()
    }

    /// Along the great circle, by the haversine formula (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984),
    /// which is exact for near points as well. That the earth is no sphere makes half a percent.
    pub fn distance_km(self, other: Location) -> f64 {
        let radians = |degrees: f32| f64::from(degrees).to_radians();
        let (north, other_north) = (radians(self.lat), radians(other.lat));
        let half_north = ((other_north - north) / 2.0).sin();
        let half_east = ((radians(other.lon) - radians(self.lon)) / 2.0).sin();
        let square = half_north * half_north + north.cos() * other_north.cos() * half_east * half_east;
        (2.0 * RADIUS_KM * square.min(1.0).sqrt().asin()).round()
    }
}

/// The locations of the clients of a batch.
pub(crate) fn of(events: &RecordBatch) -> Result<Vec<Location>, EngineError> {
    let of = |column: &'static str| {
        let degrees = column_of(events, column)?.as_primitive_opt::<Float32Type>();
        degrees.ok_or(EngineError::Schema { column })
    };
    let (lat, lon) = (of("lat")?, of("lon")?);
    if lat.null_count() == lat.len() || lon.null_count() == lon.len() {
        return Ok(vec![Location::NOWHERE; events.num_rows()]);
    }
    let one = |(lat, lon): (Option<f32>, Option<f32>)| match (lat, lon) {
        (Some(lat), Some(lon)) => Location::at(lat, lon),
        _ => Location::NOWHERE,
    };
    Ok(lat.iter().zip(lon.iter()).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_known_cities() {
        let at = |lat: f32, lon: f32| Location { lat, lon };
        let (berlin, new_york, sydney) = (at(52.52, 13.405), at(40.7128, -74.006), at(-33.8688, 151.2093));
        assert_eq!(berlin.distance_km(new_york), 6385.0);
        assert_eq!(new_york.distance_km(berlin), 6385.0);
        assert_eq!(new_york.distance_km(sydney), 15989.0);
        assert_eq!(berlin.distance_km(berlin), 0.0);
        // Over the date line, and to the other side of the earth.
        assert_eq!(at(0.0, 179.0).distance_km(at(0.0, -179.0)), 222.0);
        assert_eq!(at(10.0, 20.0).distance_km(at(-10.0, -160.0)), 20015.0);
    }

    #[test]
    fn what_is_no_location_is_nowhere() {
        for (lat, lon) in [(0.0, 0.0), (91.0, 0.0), (0.0, 181.0), (f32::NAN, 1.0), (f32::INFINITY, 1.0)] {
            assert!(!Location::at(lat, lon).is_known(), "{lat} {lon}");
        }
        assert!(Location::at(0.0, 10.0).is_known());
    }
}
