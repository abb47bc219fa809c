"""x"""
class ElasticsearchAdapter:
    client_modules=()
