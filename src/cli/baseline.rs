//! `gatewatch baseline`: any series of numbers, judged by the method the detectors use.
