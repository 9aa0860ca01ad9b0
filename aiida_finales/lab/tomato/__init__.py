"""The driver of cyclers behind tomato: ``client`` talks, ``template`` makes payloads, ``extract`` reads data."""
