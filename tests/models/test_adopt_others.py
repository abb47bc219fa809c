"""What other tools write themselves is taken over, where they are installed.

None of them is installed with this project's tests, and no environment holds all of them: what
is absent is skipped, with what would install it.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from splade_connectors import Store, connect, load_encoder
from splade_connectors.errors import AttachRefused

pytestmark = [
    pytest.mark.models,
    # These tools warn of their own plans.
    pytest.mark.filterwarnings("default"),
]

ROOT = Path(__file__).parent.parent.parent / "splade_connectors"
Encode = Callable[[Sequence[str]], list[tuple[list[int], list[float]]]]
QUERY = "how do vaccines work"
LONGEST = 512


def texts() -> list[str]:
    """Passages of the sample; the last ones are longer than any model takes."""
    lines = (ROOT / "sample" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    found = [json.loads(line)["text"] for line in lines]
    return [*found, *(" ".join(found[at : at + 20]) for at in range(0, 40, 5))]


@pytest.fixture(scope="module")
def sentence_encoder(weights: Path) -> Any:
    peer = pytest.importorskip(
        "sentence_transformers", reason="pip install sentence-transformers", exc_type=ImportError
    )
    return peer.SparseEncoder(str(weights), device="cpu")


@pytest.fixture(scope="module")
def fast_encoder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """fastembed's SPLADE, over a graph that gives logits as that of its own model does."""
    peer = pytest.importorskip("fastembed", reason="pip install fastembed torch transformers onnx")
    torch = pytest.importorskip("torch", reason="pip install torch transformers onnx onnxscript")
    transformers = pytest.importorskip("transformers", reason="pip install transformers")
    pytest.importorskip("onnxscript", reason="pip install onnx onnxscript")
    folder = tmp_path_factory.mktemp("fastembed")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(weights / name, folder / name)
    # "sdpa" looks at the mask of the example only.
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(weights, attn_implementation="eager")
    model = loaded.eval().requires_grad_(False)

    class Logits(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
            ).logits

    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones((2, 8), dtype=torch.int64)
    padded = ids.clone()
    padded[1, 5:] = 0
    sizes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Logits(),
        (ids, padded, ids * 0),
        str(folder / "model.onnx"),
        input_names=names,
        output_names=["logits"],
        dynamic_axes=dict.fromkeys([*names, "logits"], sizes),
        dynamo=False,
    )
    return peer.SparseTextEmbedding("prithivida/Splade_PP_en_v1", specific_model_path=str(folder))


@pytest.fixture(params=["sentence-transformers", "fastembed"])
def encode(request: pytest.FixtureRequest) -> Encode:
    """Vectors of another tool's encoder."""
    if request.param == "fastembed":
        fast = request.getfixturevalue("fast_encoder")
        return lambda texts: [
            (row.indices.tolist(), row.values.tolist()) for row in fast.embed(texts, batch_size=4)
        ]
    peer = request.getfixturevalue("sentence_encoder")

    def encoded(texts: Sequence[str]) -> list[tuple[list[int], list[float]]]:
        found = []
        for row in peer.encode_document(list(texts), convert_to_sparse_tensor=False, batch_size=4):
            at = row.nonzero().flatten()
            found.append((at.tolist(), row[at].tolist()))
        return found

    return encoded


def taken_over(store: Store, field: str, *, longest: int = LONGEST) -> None:
    """Dry and in earnest; then no verb makes the vectors again."""
    before = [(hit.id, hit.score) for hit in store.search(QUERY, limit=20)]
    assert before
    assert store.adopt([field], dry_run=True).refusals == ()
    report = store.adopt([field])
    assert report.done
    assert report.different_count == 0
    assert report.manifest is not None
    assert report.manifest.max_length == longest
    assert [(hit.id, hit.score) for hit in store.search(QUERY, limit=20)] == before
    attached = store.attach()
    assert (attached.attached, attached.encoded) == (0, 0)
    checked = store.verify(everything=True, recheck=True)
    assert checked.complete
    assert checked.compared == len(texts())


def test_langchain(encode: Encode) -> None:
    pytest.importorskip("langchain_qdrant", reason="pip install langchain-qdrant")
    from langchain_qdrant import QdrantVectorStore, RetrievalMode
    from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector

    class Embeddings(SparseEmbeddings):  # type: ignore[misc]
        def embed_documents(self, texts: list[str]) -> list[Any]:
            return [SparseVector(indices=at, values=of) for at, of in encode(texts)]

        def embed_query(self, text: str) -> Any:
            return self.embed_documents([text])[0]

    client = QdrantClient(":memory:")
    client.create_collection(
        "theirs", {}, {QdrantVectorStore.SPARSE_VECTOR_NAME: models.SparseVectorParams()}
    )
    theirs = QdrantVectorStore(
        client=client,
        collection_name="theirs",
        sparse_embedding=Embeddings(),
        retrieval_mode=RetrievalMode.SPARSE,
    )
    theirs.add_texts(texts(), [{"n": at} for at in range(len(texts()))])
    found = [document.page_content for document in theirs.similarity_search(QUERY, 5)]
    with connect(client, "theirs", vector=QdrantVectorStore.SPARSE_VECTOR_NAME) as store:
        taken_over(store, "page_content")
        store.attach()
        assert [hit.payload["page_content"] for hit in store.search(QUERY, limit=5)] == found
    again = [document.page_content for document in theirs.similarity_search(QUERY, 5)]
    assert again == found


def test_haystack_on_qdrant(encode: Encode, tmp_path: Path) -> None:
    pytest.importorskip(
        "haystack_integrations.document_stores.qdrant", reason="pip install qdrant-haystack"
    )
    from haystack import Document
    from haystack.dataclasses import SparseEmbedding
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    theirs = QdrantDocumentStore(
        ":memory:", index="theirs", embedding_dim=2, use_sparse_embeddings=True
    )
    rows = zip(texts(), encode(texts()), strict=True)
    theirs.write_documents(
        [
            Document(
                id=f"doc{number}",
                content=text,
                meta={"n": number},
                embedding=[0.6, 0.8],
                sparse_embedding=SparseEmbedding(indices=at, values=of),
            )
            for number, (text, (at, of)) in enumerate(rows)
        ]
    )
    with connect(theirs._client, "theirs", vector="text-sparse") as store:
        taken_over(store, "content")
    assert theirs.count_documents() == len(texts())


def test_semantic_search_of_sentence_transformers(
    sentence_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no text beside the vectors: whoever made it has to add that."""
    from sentence_transformers.sparse_encoder import search_engines

    made = sentence_encoder.encode_document(texts(), batch_size=4)
    asked = sentence_encoder.encode_query([QUERY])
    # It knows one address only, http://localhost:6333.
    monkeypatch.setattr("qdrant_client.QdrantClient", lambda url: QdrantClient(":memory:"))
    _, _, (client, name) = search_engines.semantic_search_qdrant(
        asked, corpus_embeddings=made, output_index=True, top_k=3
    )
    with connect(client, name, vector="text") as store:
        with pytest.raises(AttachRefused, match="no document has text in 'body'"):
            store.adopt(["body"])
        for at, text in enumerate(texts()):
            client.set_payload(name, {"body": text}, [at])
        taken_over(store, "body")


@pytest.fixture
def elastic_index(elasticsearch_url: str) -> Iterator[tuple[str, str]]:
    import httpx

    name = f"splade-test-{uuid.uuid4().hex}"
    yield elasticsearch_url, name
    httpx.delete(f"{elasticsearch_url}/{name}", trust_env=False)


@pytest.mark.servers
def test_haystack_on_elasticsearch(
    encode: Encode, elastic_index: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "haystack_integrations.document_stores.elasticsearch",
        reason="pip install elasticsearch-haystack (which takes elasticsearch before 9)",
    )
    from haystack import Document
    from haystack.dataclasses import SparseEmbedding
    from haystack_integrations.document_stores.elasticsearch import ElasticsearchDocumentStore

    # Haystack asks for it, and the builds for tests do not answer "GET /".
    monkeypatch.setattr("elasticsearch.Elasticsearch.info", lambda self: {})
    url, name = elastic_index
    theirs = ElasticsearchDocumentStore(hosts=url, index=name, sparse_vector_field="sparse_vec")
    rows = zip(texts(), encode(texts()), strict=True)
    theirs.write_documents(
        [
            Document(
                id=f"doc{number}",
                content=text,
                meta={"n": number},
                sparse_embedding=SparseEmbedding(indices=at, values=of),
            )
            for number, (text, (at, of)) in enumerate(rows)
        ]
    )
    target = f"{url.replace('http', 'elasticsearch', 1)}/{name}?field=sparse_vec"
    with connect(target) as store:
        taken_over(store, "content")
        assert store.inspect().manifest.key_style == "id"  # type: ignore[union-attr]
    assert theirs.count_documents() == len(texts())
    (first,) = theirs.filter_documents({"field": "id", "operator": "==", "value": "doc3"})
    assert (first.content, first.meta["n"]) == (texts()[3], 3)
    theirs.close()


def test_the_bundled_model_is_the_one_that_they_ran() -> None:
    """What the tests above rest on, and that a sample of another length tells."""
    assert load_encoder().spec.max_length != LONGEST
