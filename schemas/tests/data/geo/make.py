#!/usr/bin/env python3
"""Writes the small databases of this folder: invented data for networks of the documentation.

pip install mmdb_writer netaddr; then python3 make.py. Run it again only to change them: the files are kept.
"""

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

HERE = Path(__file__).parent


def write(name, kind, networks):
    writer = MMDBWriter(6, kind, languages=["en"], ipv4_compatible=True, description="Invented data for tests",
                        float_type="f64", int_type="u32")
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(HERE / name))


def place(code, name, latitude, longitude):
    return {
        "country": {"iso_code": code, "geoname_id": 1, "names": {"en": name, "de": name}},
        "continent": {"code": "EU"},
        "location": {"latitude": latitude, "longitude": longitude, "accuracy_radius": 100},
    }


write("city.mmdb", "Example-City", {
    "192.0.2.0/24": place("DE", "Germany", 52.5, 13.25),
    "2001:db8::/32": place("AU", "Australia", -33.5, 151.25),
    "198.51.100.0/24": {"registered_country": {"iso_code": "FR"}, "location": {"latitude": 300.0, "longitude": 2.0}},
})
# What `city.mmdb` is replaced by in the test of reloading.
write("city-new.mmdb", "Example-City", {"192.0.2.0/24": place("AT", "Austria", 48.25, 16.5)})
write("asn.mmdb", "Example-ASN", {
    "192.0.2.0/24": {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Carrier"},
    "2001:db8::/32": {"autonomous_system_number": 64497, "autonomous_system_organization": "Example Hosting"},
})
write("flat.mmdb", "example flat.mmdb", {
    "192.0.2.0/24": {"country": "Netherlands", "country_code": "NL", "asn": "AS64500", "as_name": "Flat Networks",
                     "lat": "51.5", "lng": "4.5"},
    "10.0.0.0/8": {"country": "CH", "asn": "", "as_name": ""},
})
write("other.mmdb", "Example-Other", {"192.0.2.0/24": {"is_anonymous": True}})
